/**
 * Two published models with published results, from ../shared/data beside the repository: read there, converted here in
 * memory. Skipped when that folder is missing; parity.test.ts covers the same code with goldens of its own.
 */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { joinChunks, type TensorInput, writeSafetensors } from '../../../src/formats/index.ts';
import { openModel, padBatch } from '../../../src/models/index.ts';
import { folderFromBytes } from '../../../src/platform/memory.ts';
import '../../../src/platform/node.ts';
import { relativeError } from './compare.ts';
import { toHalf } from './rope-layout.ts';

const DATA = fileURLToPath(new URL('../../../../shared/data/models/', import.meta.url));
const available = (name: string): boolean => {
  if (existsSync(`${DATA}${name}`)) return true;
  console.warn(
    `SKIPPED: ../shared/data/models/${name} is missing; this test compares with published numbers of that model`,
  );
  return false;
};

const folder = (name: string, config: object, tensors: ReadonlyMap<string, TensorInput>) =>
  folderFromBytes(
    name,
    new Map([
      ['config.json', new TextEncoder().encode(JSON.stringify(config))],
      ['model.safetensors', joinChunks(writeSafetensors(tensors))],
    ]),
  );

type Stored = { shape: number[]; data: string };
const decode = ({ data }: Stored): Float32Array => {
  const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
  return new Float32Array(bytes.buffer);
};

function transpose(data: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(data.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) out[c * rows + r] = data[r * columns + c]!;
  return out;
}

describe.skipIf(!available('gpt-nano-sort'))('gpt-nano-sort of ../shared/data (minGPT)', () => {
  test('every published intermediate of block 0, the later residuals and the logits', async () => {
    const { config, ...weights } = JSON.parse(readFileSync(`${DATA}gpt-nano-sort/model.json`, 'utf8'));
    const partials = JSON.parse(readFileSync(`${DATA}gpt-nano-sort/partials.json`, 'utf8')) as Record<
      string,
      Stored
    >;
    const tensors = new Map<string, TensorInput>();
    for (const [name, stored] of Object.entries(weights as Record<string, Stored>)) {
      if (name.endsWith('.attn.bias')) continue;
      const [rows, columns] = stored.shape;
      // minGPT keeps Linear weights [out,in], GPT-2's files [in,out].
      const isLinear = /c_(attn|proj|fc)\.weight$/.test(name);
      if (isLinear)
        tensors.set(name, {
          dtype: 'F32',
          shape: [columns!, rows!],
          data: transpose(decode(stored), rows!, columns!),
        });
      else tensors.set(name, { dtype: 'F32', shape: stored.shape, data: decode(stored) });
    }
    const model = await openModel(
      folder(
        'gpt-nano-sort',
        {
          model_type: 'gpt2',
          n_layer: config.n_layer,
          n_head: config.n_head,
          n_embd: config.n_embd,
          vocab_size: config.vocab_size,
          n_positions: config.block_size,
          tie_word_embeddings: false,
        },
        tensors,
      ),
    );
    const ids = decode(partials.idx!);
    const [B, T] = partials.idx!.shape as [number, number];
    const batch = padBatch(
      Array.from({ length: B }, (_, b) => Int32Array.from(ids.subarray(b * T, (b + 1) * T))),
    );
    const published: Record<string, string> = {
      hook_embed: 'tok_emb',
      'blocks.0.hook_resid_pre': 'x',
      'blocks.0.attn.hook_pattern': 'attSm',
      'blocks.0.hook_attn_out': 'yProj',
      'blocks.0.hook_resid_mid': 'attnResid',
      'blocks.0.mlp.hook_post': 'gelu',
      'blocks.0.hook_mlp_out': 'mlp',
      'blocks.0.hook_resid_post': 'block0',
      'blocks.1.hook_resid_post': 'block1',
      'blocks.2.hook_resid_post': 'block2',
    };
    const { cache, logits } = await model.run(batch, { hooks: Object.keys(published), logits: true });
    for (const [hook, name] of Object.entries(published)) {
      const stored = partials[name]!;
      expect(relativeError(cache[hook]!, { data: decode(stored), dims: stored.shape }), hook).toBeLessThan(
        1e-5,
      );
    }
    expect(
      relativeError(logits!, { data: decode(partials.lm_head!), dims: partials.lm_head!.shape }),
    ).toBeLessThan(1e-5);
    await model.close();
  });
});

/** Greedy text of 200 tokens after BOS, as llama2.c's own test expects it. */
const STORY =
  "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball. She wanted to play with it, but it was too high.\nLily's mom said, \"Lily, let's go to the park.\" Lily was sad and didn't know what to do. She said, \"I want to play with your ball, but I can't find it.\"\nLily was sad and didn't know what to do. She said, \"I'm sorry, Lily. I didn't know what to do.\"\nLily didn't want to help her mom, so she";

/** llama2.c's legacy file: seven int32, then float32 tensors in a fixed order, layer by layer within each kind. */
function readLlama2c(bytes: Buffer) {
  const [D, M, layers, heads, kvHeads, signedV, T] = Array.from({ length: 7 }, (_, i) =>
    bytes.readInt32LE(4 * i),
  ) as [number, number, number, number, number, number, number];
  const V = Math.abs(signedV);
  const headDim = D / heads;
  const kv = kvHeads * headDim;
  let at = 28;
  const take = (n: number) => {
    const values = new Float32Array(new Uint8Array(bytes.subarray(at, at + 4 * n)).buffer);
    at += 4 * n;
    return values;
  };
  const tensors = new Map<string, TensorInput>();
  const put = (name: string, shape: number[], data: Float32Array) =>
    tensors.set(name, { dtype: 'F32', shape, data });
  const each = (name: string, shape: number[], change = (data: Float32Array) => data) => {
    for (let l = 0; l < layers; l++)
      put(`model.layers.${l}.${name}.weight`, shape, change(take(shape.reduce((a, b) => a * b, 1))));
  };
  put('model.embed_tokens.weight', [V, D], take(V * D));
  each('input_layernorm', [D]);
  each('self_attn.q_proj', [D, D], (data) => toHalf(data, headDim, D));
  each('self_attn.k_proj', [kv, D], (data) => toHalf(data, headDim, D));
  each('self_attn.v_proj', [kv, D]);
  each('self_attn.o_proj', [D, D]);
  each('post_attention_layernorm', [D]);
  each('mlp.gate_proj', [M, D]);
  each('mlp.down_proj', [D, M]);
  each('mlp.up_proj', [M, D]);
  put('model.norm.weight', [D], take(D));
  take(T * headDim);
  if (signedV < 0) put('lm_head.weight', [V, D], take(V * D));
  expect(at).toBe(bytes.length);
  const config = {
    model_type: 'llama',
    hidden_size: D,
    intermediate_size: M,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: kvHeads,
    vocab_size: V,
    max_position_embeddings: T,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: signedV > 0,
  };
  return { config, tensors };
}

/** Pieces of a llama2.c tokenizer: int32 longest, then float32 score, int32 length and bytes of each. */
function readPieces(bytes: Buffer): string[] {
  const pieces: string[] = [];
  for (let at = 4; at < bytes.length; ) {
    const length = bytes.readInt32LE(at + 4);
    pieces.push(bytes.toString('utf8', at + 8, at + 8 + length));
    at += 8 + length;
  }
  return pieces.map((piece) =>
    piece.replace(/^<0x([0-9A-F]{2})>$/, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16))),
  );
}

describe.skipIf(!available('stories260K'))('stories260K of ../shared/data (llama2.c)', () => {
  test('tells the published story, 200 greedy tokens', async () => {
    const { config, tensors } = readLlama2c(readFileSync(`${DATA}stories260K/stories260K.bin`));
    const pieces = readPieces(readFileSync(`${DATA}stories260K/tok512.bin`));
    const model = await openModel(folder('stories260K', config, tensors), { threads: 1 });
    const ids = [1];
    while (ids.length <= 200) {
      const { logits } = await model.run(padBatch([ids]), { logits: true });
      const last = logits!.data.subarray(logits!.data.length - model.info.V);
      ids.push(last.indexOf(Math.max(...last)));
    }
    const text = ids
      .slice(1)
      .map((id) => pieces[id])
      .join('')
      .trimStart();
    expect(text).toBe(STORY);
    await model.close();
  });
});
