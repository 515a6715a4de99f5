/** Every golden file of every format, damaged in the ways that files are: each is refused with the reason, none is guessed at. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { golden, goldenNames, goldenSaes } from '../../../test/support/golden-saes.ts';
import { joinChunks, readSafetensors, readTensors, writeSafetensors } from '../../formats/index.ts';
import { fromBytes } from '../../platform/memory.ts';
import '../../platform/node.ts';
import { folderWriter } from '../../store/index.ts';
import { loadSae } from '../load.ts';
import type { Format, SaeFiles } from './format.ts';
import { writeNpz } from './npz.ts';
import { formats } from './registry.ts';
import { writeTorch } from './torch-writer.ts';

const root = mkdtempSync(join(tmpdir(), 'saekit-refusals-'));
afterAll(() => rmSync(root, { recursive: true }));

const isWeights = (name: string): boolean => /\.(safetensors|npz|pth?)$/.test(name);
/** Formats whose file is named itself. */
const isNamed = (name: string): boolean => /^(openai|qwen|goodfire|attention-out|circuit-tracer)/.test(name);
const isConfig = (name: string): boolean => /^(cfg|config|hyperparams)\.json$/.test(name);
const filesOf = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
    statSync(join(folder, name)).isFile(),
  );

type Copy = { readonly weights: string; readonly config: string | undefined; readonly open: string };
let copies = 0;
/** A copy of a case; `open` is what is loaded. */
function copyOf(name: string): Copy {
  const folder = join(root, `${copies++}-${name}`);
  cpSync(join(goldenSaes, name), folder, { recursive: true });
  const files = filesOf(folder);
  const weights = join(folder, files.find(isWeights)!);
  const config = files.find((file) => isConfig(basename(file)));
  return { weights, config: config && join(folder, config), open: golden(name, folder) };
}
const names = goldenNames;
const ofKind = (pattern: RegExp): string[] =>
  names.filter((name) => filesOf(join(goldenSaes, name)).some((file) => pattern.test(file)));
const tensorsIn = async (path: string) => await readTensors(fromBytes(readFileSync(path)), basename(path));

test('a copy that nothing was done to is read', async () => {
  for (const name of names) await loadSae(copyOf(name).open);
});

// Gemma Scope 1, its layers of several and the named files have no config, or one with settings of training, as dictionary_learning's and temporal SAEs'.
test.each(
  names.filter((name) => !isNamed(name) && !/^(gemma-scope$|gemma-scope-2-c|dictionary|temporal)/.test(name)),
)('a setting that nobody knows: %s', async (name) => {
  const { config, open } = copyOf(name);
  const json = JSON.parse(readFileSync(config!, 'utf8')) as object;
  writeFileSync(config!, JSON.stringify({ ...json, use_hyperbolic_encoder: true }));
  await expect(loadSae(open)).rejects.toThrow(
    /use_hyperbolic_encoder is not known here and may change what the SAE computes/,
  );
});

test('metadata that is no object', async () => {
  for (const name of ['saelens-jumprelu', 'saelens-v5-topk']) {
    const { config, open } = copyOf(name);
    const json = JSON.parse(readFileSync(config!, 'utf8')) as object;
    writeFileSync(config!, JSON.stringify({ ...json, metadata: 'blocks.1' }));
    await expect(loadSae(open)).rejects.toThrow(/metadata is "blocks.1", expected a JSON object/);
  }
});

test('a setting of any version of SAELens before 6 is known', async () => {
  const { config, open } = copyOf('saelens-v3-relu');
  const json = JSON.parse(readFileSync(config!, 'utf8')) as Record<string, unknown>;
  // test/oracles/sae/saelens_old_keys.py, out of the packages themselves.
  const keys = JSON.parse(readFileSync(join(goldenSaes, '../saelens-old-keys.json'), 'utf8')) as string[];
  const others = keys.filter((key) => !(key in json) && !/^(activation_fn|architecture)/.test(key));
  expect(others.length).toBeGreaterThan(60);
  writeFileSync(config!, JSON.stringify({ ...Object.fromEntries(others.map((key) => [key, 1])), ...json }));
  await loadSae(open);
});

describe('a tensor that nobody takes', () => {
  test.each(ofKind(/\.safetensors$/))('%s', async (name) => {
    const { weights, open } = copyOf(name);
    const file = await readSafetensors(fromBytes(readFileSync(weights)), name);
    const tensors: Record<string, { dtype: 'F32'; shape: readonly number[]; data: Float32Array }> = {};
    for (const [key, { shape }] of file.tensors)
      tensors[key] = { dtype: 'F32', shape, data: Float32Array.from((await file.read(key)) as Float32Array) };
    tensors.W_gate = { dtype: 'F32', shape: [2], data: new Float32Array(2) };
    writeFileSync(weights, joinChunks(writeSafetensors(tensors)));
    await expect(loadSae(open)).rejects.toThrow(/W_gate would be ignored/);
  });
  test('npz and .pt', async () => {
    const npz = copyOf('gemma-scope');
    const arrays = [...(await tensorsIn(npz.weights)).tensors.values()].map(({ name, shape }) => ({
      ...{ name, shape },
      data: new Float32Array(shape.reduce((n, m) => n * m, 1)).fill(0.5),
    }));
    await writeNpz(folderWriter(dirname(npz.weights)), basename(npz.weights), [
      ...arrays,
      { name: 'W_gate', shape: [2], data: new Float32Array(2) },
    ]);
    await expect(loadSae(npz.open)).rejects.toThrow(/W_gate would be ignored/);
    for (const name of ['dictionary-learning-AutoEncoder', 'openai-relu']) {
      const { weights, open } = copyOf(name);
      const { tensors } = await tensorsIn(weights);
      const state = Object.fromEntries(
        [...tensors].map(([key, { shape }]) => [
          key,
          { shape: [...shape], data: new Float32Array(shape.reduce((n, m) => n * m, 1)).fill(0.5) },
        ]),
      );
      const W_gate = { shape: [2], data: new Float32Array(2) };
      await writeTorch(folderWriter(dirname(weights)), basename(weights), { ...state, W_gate });
      await expect(loadSae(open)).rejects.toThrow(/W_gate would be ignored/);
    }
  });
});

test('weights that do not fit into memory are refused before they are read', async () => {
  const { open } = copyOf('gemma-scope-2-clt');
  const available = vi.spyOn(process, 'availableMemory').mockReturnValue(2000);
  try {
    // 16 x 6 + 16 + 16 x 4 x 6 + 6 + 16 + 6 x 6 numbers: the decoder is read with the layer that is left out.
    await expect(loadSae(open)).rejects.toThrow(
      /the weights take 0\.00000222 GB as float32, and 0\.00000200 GB are available\. Single latents can be read/,
    );
  } finally {
    available.mockRestore();
  }
  await loadSae(open);
});

test.each(names)('NaN among the weights: %s', async (name) => {
  const { weights, open } = copyOf(name);
  const bytes = readFileSync(weights);
  const { tensors } = await tensorsIn(weights);
  const W = [...tensors.values()].find(
    ({ name: key, shape }) => /dec|W_D|^D$/.test(key) && shape.length >= 2,
  )!;
  // The first number of the matrix, found by its first bytes: containers lay their entries out in their own ways.
  const at = bytes.indexOf(await W.source.slice(W.start, W.start + 16));
  expect(at).toBeGreaterThan(0);
  bytes.set(W.dtype === 'BF16' ? [0xc0, 0x7f] : [0, 0, 0xc0, 0x7f], at);
  writeFileSync(weights, bytes);
  await expect(loadSae(open)).rejects.toThrow(new RegExp(`${W.name} holds NaN \\(place 0\\): a damaged SAE`));
});

test.each(names)('a file that ends too early: %s', async (name) => {
  const { weights, open } = copyOf(name);
  const bytes = readFileSync(weights);
  for (const share of [0.3, 0.9]) {
    writeFileSync(weights, bytes.subarray(0, Math.floor(share * bytes.length)));
    await expect(loadSae(open)).rejects.toThrow(/truncated|damaged|no end record|download|not a zip/i);
  }
});

// As torch.save writes them beside tensors: k, activation, normalize.
test.each(['qwen-scope', 'goodfire', 'attention-out'] as const)(
  'a plain value that nobody takes: %s',
  async (format) => {
    const place = golden(format);
    const [folder, file] = [dirname(place), basename(place)];
    const weights = await tensorsIn(place);
    const files: SaeFiles = {
      ...{
        folder: { name: folder, has: async () => true, open: async () => fromBytes(new Uint8Array()) },
        file,
      },
      ...{ path: folder, overrides: {}, yaml: async () => undefined },
      json: async () => ({ act_size: 6, dict_size: 16, act_name: 'blocks.1.attn.hook_z' }),
      tensors: async () => weights,
    };
    await expect((formats[format] as Format).read(files)).resolves.toMatchObject({ config: { D: 6, F: 16 } });
    const values = new Map<string, string | number>([
      ['k', 8],
      ['activation', 'topk'],
    ]);
    await expect(
      (formats[format] as Format).read({ ...files, tensors: async () => ({ ...weights, values }) }),
    ).rejects.toThrow(/k, activation would be ignored/);
  },
);

describe('safetensors that lie', () => {
  const some = ['sparsify-topk', 'saelens-gated', 'gemma-scope-2', 'llama-scope', 'llamascopium-topk'];
  test.each(some)('about a type: %s', async (name) => {
    const { weights, open } = copyOf(name);
    const bytes = readFileSync(weights);
    const [from, to] = name === 'llama-scope' ? ['"BF16"', '"F64" '] : ['"F32"', '"F16"'];
    for (let at = bytes.indexOf(from); at >= 0; at = bytes.indexOf(from, at + 1))
      bytes.write(to, at, 'latin1');
    writeFileSync(weights, bytes);
    await expect(loadSae(open)).rejects.toThrow(/bytes|gap|overlap|needs|ends/i);
  });
  test.each(some)('about the length of their header: %s', async (name) => {
    const { weights, open } = copyOf(name);
    const bytes = readFileSync(weights);
    for (const length of [BigInt(bytes.length), 2n ** 31n, 2n ** 62n]) {
      bytes.writeBigUInt64LE(length);
      writeFileSync(weights, bytes);
      await expect(loadSae(open)).rejects.toThrow(/truncated within its header|longer|more than|at most/i);
    }
  });
});

describe('a square SAE whose shapes do not tell how it lies', () => {
  const D = 4;
  const square = { shape: [D, D], data: new Float32Array(D * D).fill(0.5) };
  const line = { shape: [D], data: new Float32Array(D).fill(0.5) };
  const parts = { W_enc: square, W_dec: square, b_enc: line, b_dec: line, threshold: line };
  test('Gemma Scope', async () => {
    const folder = join(root, 'square-gemma');
    await writeNpz(
      folderWriter(folder),
      'params.npz',
      Object.entries(parts).map(([name, part]) => ({ name, ...part })),
    );
    await expect(loadSae(folder)).rejects.toThrow(/width and latents are both 4, .*W_enc is \[D,F\]/);
  });
  test('Qwen Scope and the attention SAEs', async () => {
    const { threshold: _, ...state } = parts;
    const folder = join(root, 'SAE-Res-Qwen3-1.7B-Base-W32K-L0_3');
    await writeTorch(folderWriter(folder), 'layer1.sae.pt', state);
    await expect(loadSae(join(folder, 'layer1.sae.pt'))).rejects.toThrow(/width and latents are both 4/);
    await writeTorch(folderWriter(folder), 'a.pt', state);
    writeFileSync(
      join(folder, 'a_cfg.json'),
      JSON.stringify({ act_size: D, dict_size: D, act_name: 'blocks.0.attn.hook_z' }),
    );
    await expect(loadSae(join(folder, 'a.pt'))).rejects.toThrow(/width and latents are both 4/);
  });
  test('dictionary_learning without its config.json', async () => {
    const folder = join(root, 'square-dictionary');
    await writeTorch(folderWriter(folder), 'ae.pt', parts);
    await expect(loadSae(folder)).rejects.toThrow(/width and latents are both 4/);
    writeFileSync(join(folder, 'config.json'), '{"trainer": {"dict_class": "JumpReluAutoEncoder"}}');
    await expect(loadSae(folder)).resolves.toMatchObject({ config: { D, F: D } });
  });
});

test('a .pt that is no file of tensors at all', async () => {
  const { weights, open } = copyOf('openai-relu');
  writeFileSync(weights, 'not a pickle, but some text');
  await expect(loadSae(open)).rejects.toThrow(/begins as none of safetensors, \.npz and \.pt/);
});

test('a malicious .pt is refused by the name it asks for, as a folder and as a file', async () => {
  for (const name of ['openai-topk', 'dictionary-learning-BatchTopKSAE']) {
    const { weights, open } = copyOf(name);
    // A pickle of protocol 2: os.system("…").
    const payload = Buffer.from(`\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.`, 'latin1');
    writeFileSync(weights, payload);
    await expect(loadSae(open)).rejects.toThrow(/asks for "posix\.system".*nothing in a file is ever run/);
  }
});
