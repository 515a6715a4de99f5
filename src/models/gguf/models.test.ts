import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { relativeError } from '../../../test/golden/models/compare.ts';
import {
  type GgufTensor,
  type GgufValue,
  joinChunks,
  readGguf,
  readSafetensors,
} from '../../formats/index.ts';
import { fromBytes } from '../../platform/index.ts';
import { folderFromBytes } from '../../platform/memory.ts';
import '../../platform/node.ts';
import { openModel } from '../open.ts';
import { type Architecture, architectureOf } from './architectures.ts';
import { convertGguf, ggufConversion, storedType } from './convert.ts';
import { metadataOf } from './metadata.ts';

const golden = (name: string) =>
  new Uint8Array(readFileSync(new URL(`../../../test/golden/gguf/${name}`, import.meta.url)));

async function openGguf(bytes: Uint8Array, name: string) {
  const { files, weights, quantization } = await convertGguf(fromBytes(bytes), name);
  const chunks: Uint8Array[] = [];
  for await (const chunk of weights.chunks()) chunks.push(chunk);
  const whole = joinChunks(chunks);
  expect(whole.length).toBe(weights.byteLength);
  const folder = folderFromBytes(name, new Map([...files, ['model.safetensors', whole]]));
  return { model: await openModel(folder, { threads: 1 }), quantization };
}

describe('a model as llama.cpp writes it gives the logits of PyTorch', () => {
  const kinds: [string, string | undefined][] = [
    ['llama', 'Q8_0, dequantised to float32'],
    ['qwen2', 'Q4_0, dequantised to float32'],
    ['qwen3', 'Q5_1, dequantised to float32'],
    ['gemma2', undefined],
    ['gemma3', undefined],
    ['gpt2', 'Q8_0, dequantised to float32'],
    ['gptneox', 'Q5_0, dequantised to float32'],
  ];
  test.each(kinds)('%s', async (kind, stored) => {
    const expected = await readSafetensors(fromBytes(golden('logits.safetensors')));
    const ids = new Int32Array((await expected.read(`${kind}/ids`)) as Int32Array);
    const { model, quantization } = await openGguf(golden(`${kind}.gguf`), `${kind}.gguf`);
    expect(quantization).toBe(stored);
    expect(model.info.quantization).toBe(stored);
    const batch = { ids, mask: new Uint8Array(ids.length).fill(1), B: 1, T: ids.length };
    const { logits } = await model.run(batch, { logits: true });
    const [T, V] = expected.tensors.get(`${kind}/logits`)!.shape as [number, number];
    const data = await expected.readFloat32(`${kind}/logits`);
    expect(relativeError(logits!, { data, dims: [1, T, V] })).toBeLessThan(1e-5);
    await model.close();
  });
});

test('a Gemma 3 as Ollama writes it gives the logits of PyTorch', async () => {
  const expected = await readSafetensors(fromBytes(golden('ollama-gemma3.safetensors')));
  const ids = new Int32Array((await expected.read('ids')) as Int32Array);
  const { model, quantization } = await openGguf(golden('ollama-gemma3.gguf'), 'x.gguf');
  expect(quantization).toBe('Q4_0 with F16, dequantised to float32');
  const batch = { ids, mask: new Uint8Array(ids.length).fill(1), B: 1, T: ids.length };
  const { logits } = await model.run(batch, { logits: true });
  const [T, V] = expected.tensors.get('logits')!.shape as [number, number];
  expect(
    relativeError(logits!, { data: await expected.readFloat32('logits'), dims: [1, T, V] }),
  ).toBeLessThan(1e-5);
  // The pieces of "ab ab", without a space in front; the token beyond the embedding is none.
  expect(model.tokenizer?.encode('ab ab')).toEqual([32, 33]);
  expect(model.tokenizer?.vocabularySize).toBe(V);
  await model.close();

  const { note } = await ggufConversion.convert(fromBytes(golden('ollama-gemma3.gguf')), 'x.gguf', '');
  expect(note).toBe('GGUF Q4_0 with F16, without its 7 tensors for images');
});

describe('how the weights are stored is named by every matrix', () => {
  /** The golden file with the types of some tensors changed, and its file type; only the header is read. */
  async function typeOf(change: (name: string) => string | undefined, fileType = 2) {
    const file = await readGguf(fromBytes(golden('ollama-gemma3.gguf')));
    const tensors = [...file.tensors].map(
      ([name, tensor]) => [name, { ...tensor, type: change(name) ?? tensor.type } as GgufTensor] as const,
    );
    const metadata = new Map([...file.metadata, ['general.file_type', fileType]]);
    return storedType({ ...file, metadata, tensors: new Map(tensors) }, gemma3);
  }
  const gemma3 = { images: /^(v|mm)\./ } as Architecture;
  const isBlock = (name: string) => name.startsWith('blk.');

  test('one quantised matrix is enough, beside any number of exact ones', async () => {
    const one = (name: string) => (isBlock(name) && name !== 'blk.3.ffn_up.weight' ? 'F16' : undefined);
    expect(await typeOf(one)).toEqual({ type: 'Q4_0 with F16', exact: false });
  });
  test('several quantised types, that of most elements first', async () => {
    const two = (name: string) => (/ffn_up|token_embd/.test(name) ? 'Q6_K' : undefined);
    expect(await typeOf(two)).toEqual({ type: 'Q4_0 and Q6_K', exact: false });
  });
  test('exact is what has no quantised matrix, whatever its file type says', async () => {
    const all = (name: string) => (isBlock(name) ? 'BF16' : undefined);
    expect(await typeOf(all, 15)).toEqual({ type: 'BF16 and F16', exact: true });
  });
  test('mixtures have the names that people know', async () => {
    expect(await typeOf(() => undefined, 15)).toEqual({ type: 'Q4_K_M', exact: false });
  });
});

describe('Gemma 3’s layers', () => {
  /** config.json of the golden file with other metadata. */
  async function config(pairs: Record<string, GgufValue | undefined>) {
    const file = await readGguf(fromBytes(golden('ollama-gemma3.gguf')));
    const metadata = new Map(file.metadata);
    for (const [name, value] of Object.entries(pairs))
      if (value === undefined) metadata.delete(`gemma3.${name}`);
      else metadata.set(`gemma3.${name}`, value);
    const changed = { ...file, metadata };
    return architectureOf(metadataOf(changed)).architecture.config(metadataOf(changed), 'gemma3', changed);
  }
  const PATTERN = 'attention.sliding_window_pattern';
  const linear = { rope_type: 'linear', factor: 8 };

  test('are stretched as published where the file does not say, and as it says where it does', async () => {
    for (const layers of [34, 48, 62])
      expect((await config({ block_count: layers, [PATTERN]: 6 })).rope_scaling, `${layers}`).toEqual(linear);
    for (const layers of [18, 26])
      expect((await config({ block_count: layers, [PATTERN]: 6 })).rope_scaling, `${layers}`).toBeUndefined();
    expect((await config({ 'rope.scaling.type': 'none' })).rope_scaling).toBeUndefined();
    const stated = { 'rope.scaling.type': 'linear', 'rope.scaling.factor': 4 };
    expect((await config(stated)).rope_scaling).toEqual({ ...linear, factor: 4 });
  });
  test('see windows as flags, as a number, or as published', async () => {
    const kinds = async (value: GgufValue | undefined) =>
      ((await config({ [PATTERN]: value })).layer_types as string[]).map((kind) => kind[0]).join('');
    const by = (n: number) => Array.from({ length: 34 }, (_, i) => ((i + 1) % n ? 's' : 'f')).join('');
    expect(await kinds(Array.from({ length: 34 }, (_, i) => i !== 5))).toBe(`sssssf${'s'.repeat(28)}`);
    expect(await kinds(2)).toBe(by(2));
    expect(await kinds(undefined)).toBe(by(6));
    await expect(kinds([true, false])).rejects.toThrow(/sliding_window_pattern has 2 entries for 34 layers/);
  });
  test('have rotary bases by llama.cpp’s names before Ollama’s; the 1B has no cap of logits', async () => {
    expect(await config({})).toMatchObject({ rope_theta: 500_000, rope_local_base_freq: 3000 });
    const both = { 'rope.freq_base': 7000, 'rope.freq_base_swa': 5000 };
    expect(await config(both)).toMatchObject({ rope_theta: 7000, rope_local_base_freq: 5000 });
    const cap = { final_logit_softcapping: 30 };
    expect(await config(cap)).toMatchObject(cap);
    expect(await config({ ...cap, block_count: 26, [PATTERN]: 6 })).not.toHaveProperty(
      'final_logit_softcapping',
    );
  });
});

describe('what cannot be right is refused before a byte is written', () => {
  /** The file with one text in it replaced by another as long. */
  const patched = (kind: string, from: string, to: string): Uint8Array => {
    expect(to.length).toBe(from.length);
    const bytes = Buffer.from(golden(`${kind}.gguf`));
    let count = 0;
    for (let at = bytes.indexOf(from); at >= 0; at = bytes.indexOf(from, at + 1), count++)
      bytes.write(to, at);
    expect(count).toBeGreaterThan(0);
    return new Uint8Array(bytes);
  };
  const cases: [string, Uint8Array, RegExp][] = [
    [
      'an architecture that is not known',
      patched('llama', 'llama', 'mamba'),
      /^x\.gguf: general\.architecture "mamba" is not supported\. Supported: gemma2, .*qwen3\./,
    ],
    [
      'a tensor that has no place',
      patched('llama', 'blk.0.ffn_gate.weight', 'blk.0.ffn_gote.weight'),
      /^x\.gguf: tensor blk\.0\.ffn_gote\.weight has no place in a model of this architecture/,
    ],
    [
      'a tensor of a layer that is not there',
      patched('qwen3', 'blk.0.attn_q.weight', 'blk.9.attn_q.weight'),
      /^x\.gguf: tensor model\.layers\.0\.self_attn\.q_proj\.weight is missing/,
    ],
    [
      'a key that must be there',
      patched('qwen2', 'block_count', 'block_c0unt'),
      /^x\.gguf: qwen2\.block_count is missing/,
    ],
    [
      'factors of rotary positions that are not Llama 3’s',
      patched('llama', 'llama.rope.freq_base', 'llama.rope.freq_bose'),
      /rotary factors in rope_freqs\.weight \(up to 8\) are not those of Llama 3's scaling/,
    ],
  ];
  test.each(cases)('%s', async (_, bytes, message) => {
    await expect(convertGguf(fromBytes(bytes), 'x.gguf')).rejects.toThrow(message);
  });

  test('a scaling of rotary positions that is not known', async () => {
    const { architecture } = architectureOf(metadataOf(await readGguf(fromBytes(golden('qwen2.gguf')))));
    const file = await readGguf(fromBytes(golden('qwen2.gguf')));
    const config = (pairs: Record<string, GgufValue>) => {
      const changed = { ...file, metadata: new Map([...file.metadata, ...Object.entries(pairs)]) };
      return architecture.config(metadataOf(changed), 'qwen2', changed).rope_scaling;
    };
    const at = (name: string) => `qwen2.rope.${name}`;
    expect(config({})).toBeUndefined();
    expect(config({ [at('scale_linear')]: 4 })).toEqual({ rope_type: 'linear', factor: 4 });
    expect(config({ [at('scaling.type')]: 'none', [at('scaling.factor')]: 4 })).toBeUndefined();
    const yarn = { [at('scaling.type')]: 'yarn', [at('scaling.factor')]: 4 };
    expect(config({ ...yarn, [at('scaling.original_context_length')]: 32 })).toEqual({
      rope_type: 'yarn',
      factor: 4,
      original_max_position_embeddings: 32,
    });
    expect(() => config(yarn)).toThrow(/qwen2\.rope\.scaling\.original_context_length is missing/);
    expect(() => config({ ...yarn, [at('scaling.attn_factor')]: 0.5 })).toThrow(
      /qwen2\.rope\.scaling\.attn_factor is not supported/,
    );
    expect(() => config({ ...yarn, [at('scaling.type')]: 'longrope' })).toThrow(
      /rotary scaling "longrope" is not supported/,
    );
  });

  test('a quantisation that is not read, by name', async () => {
    const bytes = golden('qwen2.gguf');
    const name = Buffer.from(bytes).indexOf('blk.0.ffn_up.weight');
    // Behind the name: rank, two sizes, type 2 (Q4_0). Types of the same block size: 20 is IQ4_NL.
    expect(bytes[name + 19 + 4 + 16]).toBe(2);
    bytes[name + 19 + 4 + 16] = 20;
    await expect(convertGguf(fromBytes(bytes), 'x.gguf')).rejects.toThrow(
      /^x\.gguf: tensor blk\.0\.ffn_up\.weight is IQ4_NL, which is not read\. Read are F32, .*Q6_K/,
    );
  });
});
