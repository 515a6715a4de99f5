import { readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { tinySae } from '../../test/oracles/sae/tiny-sae.ts';
import { joinChunks, readSafetensors, type TensorInput, writeSafetensors } from '../formats/index.ts';
import { folderFromBytes, fromBytes } from '../platform/memory.ts';
import '../platform/node.ts';
import { folderWriter } from '../store/index.ts';
import type { FolderWriter } from '../store/types.ts';
import { decode, dense } from './decode.ts';
import { encode } from './encode.ts';
import { transposedBlocks } from './formats/write.ts';
import { loadSae } from './load.ts';
import { CFG_FILE, saveSae, WEIGHTS_FILE } from './save.ts';

const golden = (name: string): string =>
  fileURLToPath(new URL(`../../test/golden/sae/${name}`, import.meta.url));
type Golden = { B: number; x: number[]; z: number[]; xhat: number[] };
const numbers = (name: string): Golden => JSON.parse(readFileSync(golden(`${name}.json`), 'utf8'));

/** Collects written files in memory. */
function memoryWriter(): FolderWriter & { files: Map<string, Uint8Array> } {
  const files = new Map<string, Uint8Array>();
  return {
    name: 'memory',
    files,
    async write(file, chunks, byteLength) {
      const copies: Uint8Array[] = [];
      for await (const chunk of chunks) copies.push(chunk.slice());
      files.set(file, joinChunks(copies));
      expect(files.get(file)!.length).toBe(byteLength);
    },
  };
}

function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  let largest = 0;
  for (let i = 0; i < a.length; i++) largest = Math.max(largest, Math.abs(a[i]! - b[i]!));
  return largest;
}

test.each(['ours', 'trained-by-saelens', 'saelens-switches', 'saelens-bfloat16', 'saelens-square'])(
  'a folder gives the same encode and decode numbers here as in sae-lens 6: %s',
  async (name) => {
    const { B, x, z, xhat } = numbers(name);
    const sae = await loadSae(golden(name));
    expect(sae.config.metadata.hook_name).toBe('blocks.1.hook_resid_post');
    const code = await encode(sae, Float32Array.from(x));
    expect(code.B).toBe(B);
    expect(largestDifference(dense(code, sae.config.F), z)).toBeLessThan(1e-5);
    expect(largestDifference(decode(sae, code), xhat)).toBeLessThan(1e-5);
  },
);

test('saving the tiny SAE gives the very bytes that sae-lens was shown to load, and a plain reader sees its shapes', async () => {
  const writer = memoryWriter();
  const sae = tinySae(8, 24, 4);
  await saveSae(writer, sae);
  for (const file of [CFG_FILE, WEIGHTS_FILE])
    expect(Buffer.from(writer.files.get(file)!).equals(await readFile(join(golden('ours'), file)))).toBe(
      true,
    );

  const file = await readSafetensors(fromBytes(writer.files.get(WEIGHTS_FILE)!));
  const W_enc = await file.readFloat32('W_enc', [8, 24]);
  for (let f = 0; f < 24; f++)
    for (let d = 0; d < 8; d++) expect(W_enc[d * 24 + f]).toBe(sae.W_enc[f * 8 + d]);
});

test('save and load give every bit back, whatever the sizes, square ones too', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 40 }), async (D, F) => {
      const sae = tinySae(D, F, Math.min(3, F), `${D}x${F}`);
      const writer = memoryWriter();
      await saveSae(writer, sae);
      expect(await loadSae(folderFromBytes('memory', writer.files))).toEqual(sae);
    }),
    { numRuns: 40 },
  );
});

test('blocks of any size make up the transpose', () => {
  const [rows, columns] = [5, 7];
  const matrix = Float32Array.from({ length: rows * columns }, (_, i) => i);
  const expected = Array.from(
    { length: rows * columns },
    (_, i) => (i % rows) * columns + Math.floor(i / rows),
  );
  for (const size of [1, 5, 10, 12, 35, 1000]) {
    const got: number[] = [];
    for (const block of transposedBlocks(matrix, rows, columns, size)) got.push(...block);
    expect(got).toEqual(expected);
  }
});

describe('refusals', () => {
  let root = '';
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'saekit-sae-'));
  });
  afterEach(() => rm(root, { recursive: true }));

  const [D, F] = [4, 6];
  const tensors = (change: Record<string, number[] | undefined> = {}): Record<string, TensorInput> => {
    const shapes: Record<string, number[] | undefined> = {
      W_enc: [D, F],
      b_enc: [F],
      W_dec: [F, D],
      b_dec: [D],
      ...change,
    };
    const entries = Object.entries(shapes).filter(([, shape]) => shape !== undefined) as [string, number[]][];
    return Object.fromEntries(
      entries.map(([name, shape]) => {
        const data = new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.5);
        return [name, { dtype: 'F32', shape, data } as const];
      }),
    );
  };
  const cfg = { architecture: 'topk', d_in: D, d_sae: F, k: 2, metadata: { sae_lens_version: '6.1.0' } };
  async function refusal(change: Record<string, unknown>, weights = tensors()): Promise<string> {
    await writeFile(join(root, CFG_FILE), JSON.stringify({ ...cfg, ...change }));
    await writeFile(join(root, WEIGHTS_FILE), joinChunks(writeSafetensors(weights)));
    return await loadSae(root).then(
      () => 'loaded',
      (error: Error) => error.message,
    );
  }

  test('the case that the others change loads', async () => {
    expect(await refusal({})).toBe('loaded');
  });
  test('an architecture that is not known, and one whose tensors are not there', async () => {
    expect(await refusal({ architecture: 'crosscoder' })).toMatch(
      /architecture "crosscoder"; known are standard, gated, jumprelu, topk/,
    );
    expect(await refusal({ architecture: 'jumprelu', k: undefined })).toMatch(
      /no threshold; the file has W_dec/,
    );
    expect(
      await refusal({ architecture: undefined, activation_fn_str: 'gelu', metadata: undefined }),
    ).toMatch(/activation_fn is "gelu", expected relu or topk/);
  });
  test('sizes that are missing or impossible', async () => {
    expect(await refusal({ d_sae: undefined })).toMatch(/d_sae is missing/);
    expect(await refusal({ k: 0.5 })).toMatch(/k is 0\.5/);
    expect(await refusal({ k: 7 })).toMatch(/k = 7 active latents of d_sae = 6/);
  });
  test('settings that change what the SAE is fed', async () => {
    expect(await refusal({ normalize_activations: 'batch_norm' })).toMatch(
      /normalize_activations is "batch_norm", expected "none" or/,
    );
    expect(await refusal({ gain: 2 })).toMatch(/gain is not known here and may change what the SAE computes/);
    expect(await refusal({ apply_b_dec_to_input: 'yes' })).toMatch(/expected true or false/);
  });
  test('missing, surplus, misshapen and transposed tensors', async () => {
    expect(await refusal({}, tensors({ b_enc: undefined }))).toMatch(
      /no b_enc; the file has W_dec, W_enc, b_dec/,
    );
    expect(await refusal({}, tensors({ scaling_factor: [F] }))).toMatch(/scaling_factor is not 1 everywhere/);
    expect(await refusal({}, tensors({ b_enc: [F + 1] }))).toMatch(
      /b_enc is \[7\], expected \[6\] from D 4 and F 6/,
    );
    expect(await refusal({}, tensors({ W_enc: [F, D] }))).toMatch(
      /W_enc is \[6, 4\], expected \[4, 6\].*transposed/,
    );
  });
  test('a square SAE of unknown origin, because its layout cannot be known', async () => {
    const square = tensors({ W_enc: [D, D], W_dec: [D, D], b_enc: [D] });
    expect(await refusal({ d_sae: D, metadata: {} }, square)).toMatch(
      /d_in and d_sae are both 4.*sae_lens_version/,
    );
    expect(await refusal({ d_sae: D }, square)).toBe('loaded');
  });
  test('NaN, a truncated file, no file, no JSON', async () => {
    const broken = tensors();
    (broken.W_dec!.data as Float32Array)[3] = Number.NaN;
    expect(await refusal({}, broken)).toMatch(/W_dec holds NaN \(place 3\)/);
    await writeFile(join(root, WEIGHTS_FILE), joinChunks(writeSafetensors(tensors())).subarray(0, -8));
    await expect(loadSae(root)).rejects.toThrow(/truncated/);
    await rm(join(root, WEIGHTS_FILE));
    await expect(loadSae(root)).rejects.toThrow(
      /no SAE of a known format\. Looked for cfg\.json with sae_weights/,
    );
    await refusal({});
    await writeFile(join(root, CFG_FILE), '{');
    await expect(loadSae(root)).rejects.toThrow(/cfg\.json: not JSON/);
  });
  test('saving an SAE that does not fit its config, or is not finite, writes nothing', async () => {
    const sae = tinySae(4, 6, 2);
    const folder = join(root, 'out');
    await expect(saveSae(folderWriter(folder), { ...sae, b_enc: new Float32Array(5) })).rejects.toThrow(
      /b_enc has 5 numbers, expected 6/,
    );
    sae.W_enc[7] = Number.POSITIVE_INFINITY;
    await expect(saveSae(folderWriter(folder), sae)).rejects.toThrow(/W_enc\[7\] is Infinity/);
    await expect(readFile(join(folder, WEIGHTS_FILE))).rejects.toThrow(/ENOENT/);
  });
});
