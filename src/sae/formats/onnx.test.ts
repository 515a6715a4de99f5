/** The exported graphs in the engine, against the numbers of the program that each SAE comes from; and read again, bit for bit. */
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { golden, goldenNames, goldenNumbers, isCrossLayer } from '../../../test/support/golden-saes.ts';
import '../../platform/node.ts';
import { getPlatform } from '../../platform/index.ts';
import { createRng } from '../../shared/rng.ts';
import { folderWriter } from '../../store/index.ts';
import { decode, dense } from '../decode.ts';
import { encode } from '../encode.ts';
import { loadSae, openSae } from '../load.ts';
import { saveSae } from '../save.ts';
import type { Sae } from '../types.ts';

async function exported(sae: Sae): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'saekit-onnx-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  await saveSae(folderWriter(folder), sae, { format: 'onnx' });
  return folder;
}

/** Runs one of the graphs as any program would: by its path, with what it asks for. */
async function run(
  path: string,
  given: Readonly<Record<string, Float32Array | BigInt64Array>>,
  B: number,
): Promise<Float32Array> {
  const { ort } = getPlatform();
  const session = await ort.InferenceSession.create(path);
  const feeds = session.inputNames.map((name) => {
    const data = given[name]!;
    const tensor =
      data instanceof Float32Array
        ? new ort.Tensor('float32', data, [B, data.length / B])
        : new ort.Tensor('int64', data, [B]);
    return [name, tensor] as const;
  });
  const [name] = session.outputNames;
  const output = (await session.run(Object.fromEntries(feeds)))[name!]!.data as Float32Array;
  await session.release();
  return output;
}

function expectClose(found: Float32Array, expected: ArrayLike<number>, tolerance: number): void {
  expect(found.length).toBe(expected.length);
  let largest = 0;
  for (let i = 0; i < found.length; i++)
    largest = Math.max(largest, Math.abs(found[i]! - expected[i]!) || Number(Number.isNaN(found[i])));
  expect(largest).toBeLessThan(tolerance);
}

/** Those that a graph can be made of. */
const cases = goldenNames.filter((name) => !/matching-pursuit|temporal/.test(name) && !isCrossLayer(name));

test('every kind of SAE is among the cases', async () => {
  const kinds = new Set<string>();
  for (const name of cases) {
    const { config, W_skip } = await loadSae(golden(name));
    kinds.add(config.Dout === undefined ? config.architecture : W_skip ? 'skip' : 'transcoder');
  }
  expect([...kinds].sort()).toEqual(
    ['batchtopk', 'gated', 'groupmax', 'jumprelu', 'matryoshka', 'relu', 'skip', 'topk', 'transcoder'].sort(),
  );
});

test('matching pursuit is refused, and nothing is written', async () => {
  const sae = await loadSae(golden('saelens-matching-pursuit'));
  const folder = join(tmpdir(), `saekit-onnx-never-${process.pid}`);
  await expect(saveSae(folderWriter(folder), sae, { format: 'onnx' })).rejects.toThrow(
    /no ONNX graph is made of it/,
  );
  expect(existsSync(folder)).toBe(false);
});

test.each(cases)('%s: three graphs, and the same bits when read again', async (name) => {
  const sae = await loadSae(golden(name));
  const numbers = goldenNumbers(name);
  const { B } = numbers;
  const [x, z] = [Float32Array.from(numbers.x), Float32Array.from(numbers.z)];
  const folder = await exported(sae);
  expectClose(await run(join(folder, 'encoder.onnx'), { x }, B), z, 2e-5);
  expectClose(await run(join(folder, 'decoder.onnx'), { x, z }, B), numbers.xhat, 2e-5);
  expectClose(await run(join(folder, 'round_trip.onnx'), { x }, B), numbers.xhat, 2e-5);
  const opened = await openSae(folder);
  await opened.close();
  expect(opened.format).toBe('onnx');
  expect(await loadSae(folder)).toEqual(sae);
});

/** Kinds that no file of another program has. */
const rng = createRng('onnx');
const fill = (n: number, scale = 1) => Float32Array.from({ length: n }, () => scale * rng.normal());
const [D, F, V, B] = [6, 40, 5, 9];
const base = {
  ...{ W_enc: fill(F * D), b_enc: fill(F, 0.3), W_dec: fill(F * D), b_dec: fill(D, 0.5) },
};
const more: Record<string, Sae> = {
  'token bias': {
    config: { architecture: 'topk', K: 4, D, F, metadata: { hook_name: 'blocks.1.hook_resid_post' } },
    ...base,
    b_token: fill(V * D),
  },
  'signed, normalised by length': {
    config: {
      ...{ architecture: 'topk', K: 7, signed: true, D, F },
      inputNorm: 'norm',
      subtractDecoderBias: false,
      metadata: {},
    },
    ...base,
  },
  'relu of centred rows': {
    config: { architecture: 'relu', D, F, inputNorm: 'centre', metadata: {} },
    ...base,
  },
  'gated, layer norm, flattened': {
    config: { architecture: 'gated', D, F, inputNorm: 'layer', flattened: true, metadata: {} },
    ...base,
    r_mag: fill(F, 0.3),
    b_mag: fill(F, 0.3),
  },
};
test.each(Object.entries(more))('%s: as encode and decode, and the same bits', async (_, sae) => {
  const x = fill(B * D);
  const ids = Array.from({ length: B }, () => rng.int(V));
  const code = await encode(sae, x);
  const z = dense(code, F);
  expect(z.some((value) => value !== 0)).toBe(true);
  const xhat = decode(sae, code, { x, ...(sae.b_token ? { ids } : {}) });
  const given = { x, z, ids: BigInt64Array.from(ids, BigInt) };
  const folder = await exported(sae);
  expectClose(await run(join(folder, 'encoder.onnx'), given, B), z, 2e-5);
  expectClose(await run(join(folder, 'decoder.onnx'), given, B), xhat, 2e-5);
  expectClose(await run(join(folder, 'round_trip.onnx'), given, B), xhat, 2e-5);
  expect(await loadSae(folder)).toEqual(sae);
});

test('a config with something unknown, a setting out of range or a later version is refused by name', async () => {
  const folder = await exported(more['token bias']!);
  const file = join(folder, 'sae.json');
  const written = JSON.parse(await readFile(file, 'utf8')) as object;
  const refused = async (change: object): Promise<string> => {
    await writeFile(file, JSON.stringify({ ...written, ...change }));
    return await loadSae(folder).then(
      () => 'loaded',
      (error: Error) => error.message,
    );
  };
  expect(await refused({})).toBe('loaded');
  expect(await refused({ scale: 2 })).toMatch(/sae\.json: Unrecognized key: "scale"/);
  expect(await refused({ K: 0 })).toMatch(/sae\.json: K: /);
  expect(await refused({ D: 7 })).toMatch(/W_enc is \[40, 6\], expected \[40, 7\]/);
  expect(await refused({ saekit_onnx_version: 2 })).toMatch(/version 2, and this saekit reads up to 1/);
  expect(await refused({ architecture: 'resnet' })).toMatch(/no SAE of architecture "resnet"/);
});
