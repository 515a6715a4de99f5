// Caches that delphi wrote: 11 latents, 8 sequences of 5 tokens; test/oracles/activations/make_activations.py has the formula.
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { allRows, formula, golden, range, token } from '../../../../test/support/golden-activations.ts';
import { joinChunks, writeSafetensors } from '../../../formats/index.ts';
import { MAX_DENSE_LATENTS, openLatentCache } from './delphi.ts';
import { openActivations } from './registry.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'saekit-delphi-'));
});
afterAll(() => rm(folder, { recursive: true }));

const latent = (row: number, f: number): number => ((row + f) % 4 === 0 ? formula(row, f) : 0);
const dense = (from: number, to: number): Float32Array =>
  Float32Array.from(range(0, 40).flatMap((row) => range(from, to).map((f) => latent(row, f))));
const fails = (path: string): Promise<string> =>
  openActivations(path).then(
    () => 'opened',
    (error: Error) => error.message,
  );

/** A split as delphi writes it, with any entries. */
async function write(
  name: string,
  entries: readonly (readonly [number, number, number, number])[],
  tokens: readonly [number, number] = [3, 4],
): Promise<string> {
  const path = join(folder, name);
  const bytes = joinChunks(
    writeSafetensors({
      locations: {
        dtype: 'U16',
        shape: [entries.length, 3],
        data: Uint16Array.from(entries.flatMap((entry) => entry.slice(0, 3))),
      },
      activations: {
        dtype: 'F32',
        shape: [entries.length],
        data: Float32Array.from(entries, ([, , , z]) => z),
      },
      tokens: { dtype: 'I32', shape: tokens, data: new Int32Array(tokens[0] * tokens[1]) },
    }),
  );
  await cp(golden('delphi/layers.1/config.json'), join(path, '..', 'config.json'));
  await writeFile(path, bytes);
  return path;
}

describe('as dense rows', () => {
  test.each([
    ['delphi', 0, 11],
    ['delphi/layers.1', 0, 11],
    ['delphi/layers.1#3_6', 3, 7],
    ['delphi/layers.1/7_10.safetensors', 7, 11],
    ['delphi-without-tokens', 0, 11],
    ['delphi-whole/layers.1.safetensors', 0, 11],
  ])('%s', async (path, first, end) => {
    const source = await openActivations(golden(path));
    expect({ format: source.format, rows: source.rows, D: source.D }).toEqual({
      format: 'delphi latents',
      rows: 40,
      D: end - first,
    });
    for (const block of [1, 7, 40]) expect(await allRows(source, block)).toEqual(dense(first, end));
    if (path.includes('without')) expect(source.readTokens).toBeUndefined();
    else expect([...(await source.readTokens!(6, 20))]).toEqual(range(6, 26).map(token));
    if (path === 'delphi')
      expect(source.meta).toEqual({ hook: 'layers.1', model: 'org/tiny', contextLength: 5 });
    await source.close();
  });

  test('more latents than dense rows are sensible for are refused, with the file that fits', async () => {
    const wide = MAX_DENSE_LATENTS;
    await write(`0_${wide - 1}.safetensors`, [[0, 0, 0, 1]]);
    const path = await write(`${wide}_${2 * wide - 1}.safetensors`, [[2, 3, 5, 2]]);
    expect(await fails(folder)).toMatch(
      new RegExp(`${2 * wide} latents, what an SAE made.*at most ${wide}.*#0_${wide - 1}.*saekit harvest`),
    );
    const source = await openActivations(`${folder}#${wide}_${2 * wide - 1}`);
    const row = new Float32Array(wide);
    await source.read(11, 1, row);
    expect(row.indexOf(2)).toBe(5);
    await source.close();
    await rm(path);
    await rm(join(folder, `0_${wide - 1}.safetensors`));
  });
});

describe('as it is, sparse', () => {
  test('every entry once, by range of latents', async () => {
    const cache = await openLatentCache(golden('delphi/layers.1'));
    expect({ F: cache.F, S: cache.S, T: cache.T }).toEqual({ F: 11, S: 8, T: 5 });
    expect(cache.splits.map(({ first, end }) => [first, end])).toEqual([
      [0, 3],
      [3, 7],
      [7, 11],
    ]);
    for (const [first, end] of [
      [0, 11],
      [2, 5],
      [8, 9],
    ] as const) {
      const z = new Float32Array(40 * 11);
      let count = 0;
      for await (const block of cache.entries({ first, end }))
        for (const [i, value] of block.value.entries()) {
          z[(block.sequence[i]! * 5 + block.position[i]!) * 11 + block.latent[i]!] = value;
          count++;
        }
      const expected = dense(0, 11).map((v, k) => (k % 11 >= first && k % 11 < end ? v : 0));
      expect(z).toEqual(expected);
      expect(count).toBe(expected.filter((v) => v !== 0).length);
    }
    expect([...(await cache.tokens!(0, 3))]).toEqual([0, 37, 74]);
    await cache.close();
  });
});

describe('refused, the file and the entry named', () => {
  const one = (name: string, entries: [number, number, number, number][]) =>
    write(`${name}/0_9.safetensors`, entries);
  beforeAll(() =>
    Promise.all(
      ['order', 'sequence', 'position', 'latent', 'gap'].map((name) =>
        cp(golden('delphi/layers.1/config.json'), join(folder, name, 'config.json')),
      ),
    ),
  );
  test.each([
    [
      'order',
      [
        [1, 0, 0, 1],
        [0, 3, 0, 1],
      ],
      /order\/0_9\.safetensors, entry 1: not sorted/,
    ],
    [
      'sequence',
      [
        [0, 0, 0, 1],
        [3, 0, 0, 1],
      ],
      /entry 1: sequence 3, but tokens are stored for 3/,
    ],
    ['position', [[0, 4, 0, 1]], /entry 0: position 4, but sequences have 4 tokens/],
    ['latent', [[0, 0, 10, 1]], /entry 0: latent 10, but the file is named for 0 to 9/],
  ] as [string, [number, number, number, number][], RegExp][])('%s', async (name, entries, message) => {
    expect(await fails(await one(name, entries))).toMatch(message);
  });

  test('a range of latents that is missing, or there twice, and caches of different texts', async () => {
    const gap = join(folder, 'gap');
    await one('gap', [[0, 0, 0, 1]]);
    const later = await write('gap/15_19.safetensors', [[0, 0, 0, 1]]);
    expect(await fails(gap)).toMatch(/15_19\.safetensors: latents 10 to 14 are missing before it.*#0_9/);
    await rm(later);
    const overlap = await write('gap/5_19.safetensors', [[0, 0, 0, 1]]);
    expect(await fails(gap)).toMatch(
      /5_19\.safetensors: begins with latent 5, but .*0_9\.safetensors goes up to 9/,
    );
    await rm(overlap);
    await write('gap/10_19.safetensors', [[0, 0, 0, 1]], [2, 4]);
    expect(await fails(gap)).toMatch(
      /10_19\.safetensors: tokens \[2, 4\], but .*0_9\.safetensors has \[3, 4\].*different caches/,
    );
    expect(await fails(`${gap}#7_8`)).toMatch(/no latents 7_8; it has 0_9, 10_19/);
  });
});
