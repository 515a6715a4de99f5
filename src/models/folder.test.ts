import {
  chmod,
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { goldenFolder, openGolden, worstError } from '../../test/golden/models/compare.ts';
import { root } from '../../test/repository.ts';
import { folderFromBytes } from '../platform/memory.ts';
import '../platform/node.ts';
import { sameModel } from '../shared/model-hash.ts';
import { createRng } from '../shared/rng.ts';
import { openModel } from './open.ts';

const SHARDED = 'llama3-tied-shards';
const SHARDS = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];

let temporary: string;
beforeEach(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'saekit-models-'));
});
afterEach(async () => {
  await chmod(temporary, 0o755);
  await rm(temporary, { recursive: true, force: true });
});

/** A copy of a golden model that a test may damage. */
async function copyOf(name: string): Promise<string> {
  const folder = join(temporary, name);
  await cp(goldenFolder(name), folder, { recursive: true });
  return folder;
}

async function editJson(path: string, change: (json: Record<string, unknown>) => void): Promise<void> {
  const json = JSON.parse(await readFile(path, 'utf8'));
  change(json);
  await writeFile(path, JSON.stringify(json));
}

async function expectParity(folder: string, name: string): Promise<void> {
  const model = await openModel(folder, { threads: 1 });
  const { plain, padded } = await worstError(model, await openGolden(name));
  expect(plain).toBeLessThan(1e-5);
  expect(padded).toBeLessThan(1e-5);
  await model.close();
}

describe('where weights may lie', () => {
  test('a Hugging Face cache: every file a symlink to a blob, two shards', async () => {
    const blobs = join(temporary, 'models--a--b', 'blobs');
    const snapshot = join(temporary, 'models--a--b', 'snapshots', 'abc123');
    await mkdir(blobs, { recursive: true });
    await mkdir(snapshot, { recursive: true });
    const files = ['config.json', 'generation_config.json', 'model.safetensors.index.json', ...SHARDS];
    for (const [i, file] of files.entries()) {
      await cp(join(goldenFolder(SHARDED), file), join(blobs, `blob${i}`));
      await symlink(join('..', '..', 'blobs', `blob${i}`), join(snapshot, file));
    }
    await expectParity(snapshot, SHARDED);
  });

  test('shards in two places with nothing in common but the root of the temporary folder', async () => {
    const folder = await copyOf(SHARDED);
    const elsewhere = join(temporary, 'other', 'deep', 'er');
    await mkdir(elsewhere, { recursive: true });
    await cp(join(folder, SHARDS[1]!), join(elsewhere, 'second'));
    await rm(join(folder, SHARDS[1]!));
    await symlink(join(elsewhere, 'second'), join(folder, SHARDS[1]!));
    await expectParity(folder, SHARDED);
  });

  test('a read-only folder, and nothing is written into it', async () => {
    const folder = await copyOf(SHARDED);
    for (const file of SHARDS) await chmod(join(folder, file), 0o444);
    await chmod(folder, 0o555);
    // For root nothing is read-only: what is in the folder is compared, too.
    const before = await readdir(folder);
    await expectParity(folder, SHARDED);
    expect(await readdir(folder)).toEqual(before);
    await chmod(folder, 0o755);
  });

  test('bytes in memory, as in a browser', async () => {
    const files = new Map<string, Uint8Array>();
    for (const file of ['config.json', 'model.safetensors.index.json', ...SHARDS])
      files.set(file, await readFile(join(goldenFolder(SHARDED), file)));
    const model = await openModel(folderFromBytes('upload', files), { threads: 1 });
    expect((await worstError(model, await openGolden(SHARDED))).plain).toBeLessThan(1e-5);
    await model.close();
  });

  test('mapped weights give the same numbers', async () => {
    const model = await openModel(goldenFolder(SHARDED), { threads: 1, mapped: true });
    expect((await worstError(model, await openGolden(SHARDED))).plain).toBeLessThan(1e-5);
    await model.close();
  });
});

describe('the hash names a model', () => {
  test('it is the same for a copy and another for another config', async () => {
    const folder = await copyOf('llama-yarn');
    const hash = async (path: string) => {
      const model = await openModel(path);
      await model.close();
      return model.info.hash;
    };
    const original = await hash(goldenFolder('llama-yarn'));
    expect(original).toMatch(/^[0-9a-f]{64}-[0-9a-f]{32}$/);
    expect(await hash(folder)).toBe(original);
    await editJson(join(folder, 'config.json'), (config) => {
      config.rms_norm_eps = 1e-6;
    });
    expect(await hash(folder)).not.toBe(original);
  });

  test('weights with other signs are another model, and what said nothing of weights fits both', async () => {
    const demo = `${root}/demo/model`;
    const folder = join(temporary, 'demo');
    await cp(demo, folder, { recursive: true });
    const path = join(folder, 'model.safetensors');
    const bytes = await readFile(path);
    const header = 8 + Number(bytes.readBigUInt64LE(0));
    // float16, little-endian: the sign is in the second byte.
    const rng = createRng('signs');
    const weights = (bytes.length - header) / 2;
    for (let i = 0; i < 1000; i++) bytes[header + 2 * Math.floor(rng.uniform() * weights) + 1]! ^= 0x80;
    await writeFile(path, bytes);
    const [original, changed] = await Promise.all(
      [demo, folder].map(async (one) => {
        const model = await openModel(one);
        await model.close();
        return model.info.hash;
      }),
    );
    expect(sameModel(original, changed)).toBe(false);
    const before = original!.slice(0, 64);
    expect([sameModel(before, original), sameModel(before, changed)]).toEqual([true, true]);
  });
});

describe('a bad folder is refused with what is wrong', () => {
  const cases: [string, string, (folder: string) => Promise<void>, RegExp][] = [
    [
      'no config',
      'llama-yarn',
      (f) => rm(join(f, 'config.json')),
      /has no config\.json: expected a Hugging Face model folder/,
    ],
    [
      'config that is not JSON',
      'llama-yarn',
      (f) => writeFile(join(f, 'config.json'), '{'),
      /config\.json: /,
    ],
    [
      'a tokenizer of a larger vocabulary',
      'llama-yarn',
      (f) => cp(join(goldenFolder('tokenizers'), 'llama3', 'tokenizer.json'), join(f, 'tokenizer.json')),
      /tokenizer\.json has 900 tokens and the model's vocabulary 64: they do not belong together/,
    ],
    [
      'no weights',
      'llama-yarn',
      (f) => rm(join(f, 'model.safetensors')),
      /has no weights: expected model\.safetensors/,
    ],
    [
      'a missing shard',
      SHARDED,
      (f) => rm(join(f, SHARDS[1]!)),
      /1 of 2 weight files are missing: model-00002-of-00002\.safetensors/,
    ],
    [
      'a truncated shard',
      SHARDED,
      (f) => truncate(join(f, SHARDS[1]!), 9000),
      /model-00002-of-00002\.safetensors: truncated: the header describes \d+ bytes, the file has 9000/,
    ],
    [
      'an index that points into the wrong shard',
      SHARDED,
      (f) =>
        editJson(join(f, 'model.safetensors.index.json'), (index) => {
          (index.weight_map as Record<string, string>)['model.norm.weight'] = SHARDS[0]!;
        }),
      /the index puts tensor model\.norm\.weight into model-00001-of-00002\.safetensors, which does not hold it/,
    ],
    [
      'an index that points out of the folder',
      SHARDED,
      (f) =>
        editJson(join(f, 'model.safetensors.index.json'), (index) => {
          (index.weight_map as Record<string, string>)['model.norm.weight'] = '../../secret';
        }),
      /names a weight file "\.\.\/\.\.\/secret"/,
    ],
    [
      'a config with another width than the tensors',
      'llama-yarn',
      (f) =>
        editJson(join(f, 'config.json'), (config) => {
          config.intermediate_size = 57;
        }),
      /tensor model\.layers\.0\.mlp\.gate_proj\.weight is \[56, 32\], expected \[57, 32\]/,
    ],
    [
      'a config with more layers than the file',
      'llama-yarn',
      (f) =>
        editJson(join(f, 'config.json'), (config) => {
          config.num_hidden_layers = 2;
        }),
      /tensor model\.layers\.1\.input_layernorm\.weight is missing; expected \[32\]. Nearest names: model\.layers\.0\.input_layernorm\.weight/,
    ],
    [
      'an unsupported architecture',
      'llama-yarn',
      (f) =>
        editJson(join(f, 'config.json'), (config) => {
          config.model_type = 'mamba';
          config.architectures = ['MambaForCausalLM'];
        }),
      /architecture "mamba" \(MambaForCausalLM\) is not supported: it is no transformer, or not only one\. Supported model_type: bert, gemma2, gemma3, gemma3_text, gpt2, gpt_neox, llama, mistral, qwen2, qwen3\./,
    ],
    ...(
      [
        [
          'a mixture of experts',
          'qwen3-bf16',
          { model_type: 'qwen3_moe' },
          /"qwen3_moe" .*: its MLPs are mixtures of experts/,
        ],
        [
          'attention to later tokens',
          'gemma2',
          { use_bidirectional_attention: true },
          /use_bidirectional_attention = true is not supported; supported: null, false/,
        ],
        [
          'a score cap that Gemma 3 does not apply',
          'gemma3-text',
          { attn_logit_softcapping: 50 },
          /attn_logit_softcapping = 50 is not supported/,
        ],
        [
          'layers of another kind',
          'gemma3-text',
          { layer_types: ['chunked_attention'] },
          /layer_types is \["chunked_attention"\], expected 4 of full_attention or sliding_attention/,
        ],
        [
          'a window of no width',
          'mistral-window',
          { sliding_window: 0 },
          /sliding_window is 0, expected a positive integer/,
        ],
        [
          'positions that turn an odd part of a head',
          'neox-parallel',
          { rope_parameters: { partial_rotary_factor: 0.4 } },
          /3 dimensions of a head turn; rotary positions need pairs/,
        ],
        ['a billion layers', 'gpt2-new', { n_layer: 1e9 }, /n_layer is 1000000000, expected at most 4096/],
        ['BERT as a decoder', 'bert', { is_decoder: true }, /is_decoder = true is not supported/],
        [
          'BERT with relative positions',
          'bert',
          { position_embedding_type: 'relative_key' },
          /position_embedding_type = "relative_key" is not supported/,
        ],
      ] as const
    ).map(([what, name, change, message]): [string, string, (folder: string) => Promise<void>, RegExp] => [
      what,
      name,
      (f) => editJson(join(f, 'config.json'), (config) => void Object.assign(config, change)),
      message,
    ]),
    [
      'an unsupported RoPE scaling',
      'llama-yarn',
      (f) =>
        editJson(join(f, 'config.json'), (config) => {
          config.rope_parameters = { rope_type: 'longrope', rope_theta: 10000 };
        }),
      /RoPE scaling "longrope" is not supported\. Supported: default, linear, dynamic, llama3, yarn/,
    ],
    [
      'an untied head that is not there',
      SHARDED,
      (f) =>
        editJson(join(f, 'config.json'), (config) => {
          config.tie_word_embeddings = false;
        }),
      /not tied to the embedding, and the weights hold no lm_head\.weight/,
    ],
    [
      'quantized weights',
      'llama-yarn',
      (f) =>
        editJson(join(f, 'config.json'), (config) => {
          config.quantization_config = { quant_method: 'gptq' };
        }),
      /the weights are quantized/,
    ],
    [
      'an unknown activation',
      'llama-yarn',
      (f) =>
        editJson(join(f, 'config.json'), (config) => {
          config.hidden_act = 'mish';
        }),
      /hidden_act = "mish" is not supported; supported: silu/,
    ],
  ];
  for (const [what, name, damage, message] of cases) {
    test(what, async () => {
      const folder = await copyOf(name);
      await damage(folder);
      await expect(openModel(folder)).rejects.toThrow(message);
    });
  }

  test('a folder that does not exist', async () => {
    await expect(openModel(join(temporary, 'nowhere'))).rejects.toThrow(/nowhere: no such folder/);
  });

  test('only pytorch_model.bin', async () => {
    const folder = await copyOf('llama-yarn');
    await rm(join(folder, 'model.safetensors'));
    await writeFile(join(folder, 'pytorch_model.bin'), 'x');
    await expect(openModel(folder)).rejects.toThrow(/safe_serialization=True/);
  });
});
