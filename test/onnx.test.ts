/** An ONNX file through the commands: trained on, harvested, measured, continued, looked at. */
import { spawnSync } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  evalConfigSchema,
  evaluateSae,
  harvest,
  harvestConfigSchema,
  openActivations,
  openModel,
  trainConfigSchema,
  trainSae,
} from '../src/index.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const WORDS = [
  '<s>',
  '</s>',
  ...'the a cat dog bird tree house river king road ran sat saw held sang fell of on in and .'.split(' '),
];
let folder: string;
let data: string;

/** One word, one token: the exported models know 48. */
const tokenizer = {
  version: '1.0',
  added_tokens: ['<s>', '</s>'].map((content, id) => ({
    id,
    content,
    special: true,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
  })),
  normalizer: null,
  pre_tokenizer: { type: 'Whitespace' },
  post_processor: null,
  decoder: null,
  model: {
    type: 'WordLevel',
    vocab: Object.fromEntries(WORDS.map((word, id) => [word, id])),
    unk_token: '.',
  },
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'saekit-onnx-'));
  for (const name of ['gpt2-past', 'llama', 'bert']) {
    await mkdir(join(folder, name, 'onnx'), { recursive: true });
    const golden = join(root, 'test/golden/onnx', name);
    await copyFile(join(golden, 'model.onnx'), join(folder, name, 'onnx', 'model.onnx'));
    await copyFile(join(golden, 'config.json'), join(folder, name, 'config.json'));
    await writeFile(join(folder, name, 'tokenizer.json'), JSON.stringify(tokenizer));
  }
  await copyFile(
    join(root, 'test/golden/onnx/llama/model.onnx_data'),
    join(folder, 'llama/onnx/model.onnx_data'),
  );
  const lines = Array.from({ length: 400 }, (_, i) =>
    JSON.stringify({
      text: Array.from({ length: 14 }, (_, j) => WORDS[2 + ((i * 7 + j * j * (1 + (i % 3))) % 20)]).join(' '),
    }),
  );
  data = join(folder, 'text.jsonl');
  await writeFile(data, lines.join('\n'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const file = (name: string): string => join(folder, name, 'onnx', 'model.onnx');
const small = {
  latents: 32,
  k: 4,
  tokens: 4000,
  batchTokens: 256,
  contextLength: 16,
  shuffleTokens: 512,
  evalTokens: 0,
  workers: 1,
  shards: 1,
};

describe('an SAE on an ONNX file in a transformers.js folder', () => {
  test('is trained at a hook of the automatic map and measured with it spliced in', async () => {
    const out = join(folder, 'run');
    const config = trainConfigSchema.parse({ ...small, model: file('gpt2-past'), data: [data] });
    const { sae, plan } = await trainSae(config, { folder: out });
    expect(plan.settings.hook).toMatch(/^blocks\.[01]\.hook_resid_post$/);
    expect(sae!.config.D).toBe(16);
    const { evaluation } = await evaluateSae(
      evalConfigSchema.parse({ sae: out, maxTokens: 400, ceTokens: 200, klTokens: 100, features: 0 }),
    );
    const [measured] = evaluation.candidates;
    expect(measured!.fvu.value).toBeLessThan(1);
    expect(measured!.deltaCe.value).toEqual(expect.any(Number));
  });

  test('is trained at any tensor by its own name', async () => {
    const hook = '/model/layers.0/mlp/act_fn/Mul_output_0';
    const config = trainConfigSchema.parse({ ...small, model: file('llama'), data: [data], hook });
    const { sae } = await trainSae(config, { folder: join(folder, 'run-by-name') });
    expect(sae!.config.D).toBe(24);
    expect(sae!.config.metadata.hook_name).toBe(hook);
  });

  test('activations of an encoder are harvested', async () => {
    const hook = 'blocks.1.hook_normalized_resid_post';
    const config = harvestConfigSchema.parse({
      ...{ model: file('bert'), hooks: [hook], data: [data], tokens: 500, contextLength: 16 },
      heldoutTokens: 0,
    });
    const { hooks } = await harvest(config, { folder: join(folder, 'acts') });
    expect(hooks[0]).toMatchObject({ hook, D: 16 });
    const stored = await openActivations(join(folder, 'acts'));
    const rows = new Float32Array(64 * 16);
    await stored.read(0, 64, rows);
    // Behind a LayerNorm with gains near 1: mean square near 1, and no row like another.
    const square = rows.reduce((sum, x) => sum + x * x, 0) / rows.length;
    expect(square).toBeGreaterThan(0.5);
    expect(square).toBeLessThan(2);
    expect(new Set(rows).size).toBeGreaterThan(500);
    await stored.close();
  });

  test('continues a text', async () => {
    const model = await openModel(file('llama'));
    const text = await model.generate('the cat sat', { maxNewTokens: 5 });
    expect(text.length).toBeGreaterThan(0);
    expect(await model.generate('the cat sat', { maxNewTokens: 5 })).toBe(text);
    await model.close();
  });
});

describe('saekit inspect', () => {
  const saekit = (...args: string[]) =>
    spawnSync(process.execPath, ['--import', 'tsx', join(root, 'src/cli/main.ts'), ...args], {
      encoding: 'utf8',
      env: { ...process.env, NO_COLOR: '1' },
    });

  test('an ONNX file: inputs, the residual stream, every tensor on request', () => {
    const { stdout, stderr, status } = saekit('inspect', file('gpt2-past'), '--tensors');
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/inputs +input_ids int64 \[batch_size,sequence_length\].*4 of a cache/s);
    expect(stdout).toMatch(
      /blocks\.1\.hook_resid_post +\/transformer\/h\.1\/Add_1_output_0 +Add +\[B,T,16\]/,
    );
    expect(stdout).toMatch(/\/transformer\/h\.0\/mlp\/c_fc\/Gemm_output_0 +Gemm +float32 +\[N,64\]/);
  });

  test('a file that is none is refused in a sentence', async () => {
    const bad = join(folder, 'bad.onnx');
    await writeFile(bad, '<html>404</html>');
    const { stdout, stderr, status } = saekit('inspect', bad);
    expect([status, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(/bad\.onnx/);
    expect(stderr.trim().split('\n')).toHaveLength(1);
  });
});
