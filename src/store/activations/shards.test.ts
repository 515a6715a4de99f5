// Folders that numpy and safetensors wrote in our format: test/oracles/shards/make_shards.py. And what the writer makes of the same rows.
import { cp, mkdtemp, readdir, readFile, rm, truncate, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { allRows, expectedRows, range, token } from '../../../test/support/golden-activations.ts';
import { dequantizeInt8, quantizeInt8, readSafetensors } from '../../formats/index.ts';
import { openFile } from '../../platform/node.ts';
import { activationDtypes, type HarvestOrigin } from '../../shared/activations.ts';
import { createRng } from '../../shared/rng.ts';
import { disk, StorageFull } from '../atomic.ts';
import { readManifest } from './manifest.ts';
import { verifyActivations } from './shards.ts';
import { openActivations } from './sources/registry.ts';
import { createShardWriter, type HarvestRows } from './writer.ts';

const golden = fileURLToPath(new URL('../../../test/golden/shards', import.meta.url));
const [D, rows] = [70, 17];
let folder = '';
let folders = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'saekit-shards-'));
});
afterAll(() => rm(folder, { recursive: true }));
const newFolder = (): string => join(folder, `new-${folders++}`);

async function copyOf(dtype: string): Promise<string> {
  const path = newFolder();
  await cp(join(golden, dtype), path, { recursive: true });
  return path;
}
const message = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'no error',
    (error: Error) => error.message,
  );

const origin = async (dtype: string): Promise<HarvestOrigin> =>
  (await readManifest(join(golden, dtype)))!.origin;
const rowsOf = (from: number, to: number): HarvestRows => ({
  x: expectedRows(range(from, to), D),
  tokens: Int32Array.from(range(from, to), token),
  documents: Int32Array.from(range(from, to), (i) => Math.floor(i / 5)),
  positions: Int32Array.from(range(from, to), (i) => i % 5),
});
const place = (skip: number) => ({
  cursor: { epoch: 0, position: 0, offset: 0, fingerprint: 'here' },
  skip,
});

describe.each(activationDtypes)('%s', (dtype) => {
  test('rows, token ids and what is known are read as Python meant them', async () => {
    const source = await openActivations(join(golden, dtype));
    const restored = await readSafetensors(await openFile(join(golden, `${dtype}-restored.safetensors`)));
    const expected = await restored.readFloat32('x', [rows, D]);
    await restored.source.close?.();
    for (const block of [1, 4, 17]) expect(await allRows(source, block)).toEqual(expected);
    expect([...(await source.readTokens!(8, 5))]).toEqual(range(8, 13).map(token));
    const { format, meta } = source;
    expect({ format, meta, D: source.D, rows: source.rows }).toEqual({
      format: 'saekit activations',
      meta: {
        model: 'tiny',
        modelHash: '0'.repeat(64),
        tokenizerHash: '1'.repeat(64),
        hook: 'blocks.0.hook_resid_post',
        part: 'train',
        contextLength: 5,
      },
      D,
      rows,
    });
    expect(source.where!(11)).toMatch(/shard-00001\.safetensors, row 1$/);
    await source.close();
  });

  test('the writer stores the same numbers and statistics as numpy', async () => {
    const path = newFolder();
    const writer = await createShardWriter(path, await origin(dtype), { saekit: 'test' });
    // In parts that have nothing to do with the shards.
    for (const [from, to] of [
      [0, 3],
      [3, 16],
      [16, 17],
    ] as const)
      await writer.append(from, rowsOf(from, to), place(from));
    await writer.finish(place(rows));
    for (const file of ['shard-00000.safetensors', 'shard-00001.safetensors']) {
      const [ours, theirs] = await Promise.all(
        [path, join(golden, dtype)].map(async (at) => readSafetensors(await openFile(join(at, file)))),
      );
      expect([...ours!.tensors.keys()].sort()).toEqual([...theirs!.tensors.keys()].sort());
      for (const name of ours!.tensors.keys())
        expect(await ours!.read(name)).toEqual(await theirs!.read(name));
      await ours!.source.close?.();
      await theirs!.source.close?.();
    }
    const [found, expected] = await Promise.all([path, join(golden, dtype)].map(readManifest));
    expect(found!.resume).toBeUndefined();
    expect(found!.finished).toBe(true);
    for (const [name, value] of Object.entries(expected!.statistics!)) {
      const ours = [found!.statistics![name as 'mean']].flat();
      for (const [i, v] of [value].flat().entries()) expect(ours[i]).toBeCloseTo(v, 5);
    }
    expect(await verifyActivations(path)).toMatchObject({ files: 2 });
    const [again, theirs] = await Promise.all([path, join(golden, dtype)].map((at) => openActivations(at)));
    expect(await allRows(again!, 5)).toEqual(await allRows(theirs!, 17));
    await again!.close();
    await theirs!.close();
  });
});

test('8-bit blocks: no number is off by more than half a step of its block, whatever the sizes', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 200 }),
      fc.integer({ min: 1, max: 5 }),
      fc.integer(),
      (width, n, seed) => {
        const rng = createRng(seed);
        const x = Float32Array.from({ length: width * n }, () => rng.normal() * 10 ** (rng.int(60) - 40));
        const { q, scale } = quantizeInt8(x, width);
        const back = new Float32Array(x.length);
        dequantizeInt8(q, scale, width, back);
        const blocks = Math.ceil(width / 64);
        for (let i = 0; i < x.length; i++) {
          const row = Math.floor(i / width);
          const from = row * width + 64 * Math.floor((i % width) / 64);
          const block = x.subarray(from, Math.min(from + 64, (row + 1) * width));
          const step = block.reduce((most, v) => Math.max(most, Math.abs(v)), 0) / 127;
          expect(Math.abs(back[i]! - x[i]!)).toBeLessThanOrEqual(step * 0.5001 + 1e-45);
        }
        expect(scale).toHaveLength(n * blocks);
      },
    ),
  );
});

test('a writer that comes to a place again leaves out the rows it has, and the bytes are the same', async () => {
  const whole = newFolder();
  const settings = await origin('bf16');
  const straight = await createShardWriter(whole, settings, { saekit: 'test' });
  await straight.append(0, rowsOf(0, 17), place(0));
  await straight.finish(place(17));
  const path = newFolder();
  const first = await createShardWriter(path, settings, { saekit: 'test' });
  await first.append(0, rowsOf(0, 14), place(0));
  expect(first.rows).toBe(10);
  await writeFile(join(path, 'shard-00001.safetensors.tmp-1-0'), 'half');
  const second = await createShardWriter(path, settings, { saekit: 'test' });
  expect(second.place).toEqual(place(10));
  await second.append(7, rowsOf(7, 17), place(7));
  await second.finish(place(17));
  expect((await readdir(path)).sort()).toEqual((await readdir(whole)).sort());
  for (const file of await readdir(whole))
    expect(await readFile(join(path, file), 'utf8')).toBe(await readFile(join(whole, file), 'utf8'));
});

test('a full disk leaves whole shards that a later writer goes on from', async () => {
  const path = newFolder();
  const settings = await origin('f32');
  let writes = 0;
  const full: typeof disk = {
    ...disk,
    async open(name, flags) {
      const handle = await disk.open(name, flags);
      return {
        write: async (bytes, offset, length) => {
          if (name.includes('shard-00001') && ++writes > 1)
            throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' });
          return await handle.write(bytes, offset, length);
        },
        sync: () => handle.sync(),
        close: () => handle.close(),
      };
    },
  };
  const writer = await createShardWriter(
    path,
    { ...settings, rowsPerShard: 5 },
    { saekit: 'test', on: full },
  );
  await expect(writer.append(0, rowsOf(0, 17), place(0))).rejects.toBeInstanceOf(StorageFull);
  expect((await readdir(path)).sort()).toEqual(['manifest.json', 'shard-00000.safetensors']);
  const again = await createShardWriter(path, { ...settings, rowsPerShard: 5 }, { saekit: 'test' });
  expect(again.rows).toBe(5);
  await again.append(0, rowsOf(0, 17), place(0));
  await again.finish(place(17));
  expect((await verifyActivations(path)).files).toBe(4);
});

describe('refused, with file, rows and what to do', () => {
  const remedy = /Copy it again from where it was made, or remove the folder and harvest again/;
  const opening = async (change: (path: string) => Promise<void>, dtype = 'f32'): Promise<string> => {
    const path = await copyOf(dtype);
    await change(path);
    return await message(openActivations(path));
  };

  test('a shard that is missing, cut off, or of another type or shape', async () => {
    const second = (path: string): string => join(path, 'shard-00001.safetensors');
    const missing = await opening((path) => unlink(second(path)));
    expect(missing).toMatch(/shard-00001\.safetensors \(rows 10 to 16 of 17\) is missing/);
    expect(missing).toMatch(remedy);
    expect(await opening((path) => truncate(second(path), 300))).toMatch(
      /shard-00001\.safetensors \(rows 10 to 16 of 17\) has 300 bytes; manifest\.json says \d+. It was cut off/,
    );
    /** The shard of another folder, with the manifest told its size. */
    const swapped =
      (from: string, file = 'shard-00001.safetensors') =>
      async (path: string) => {
        const bytes = await readFile(join(golden, from, file));
        await writeFile(second(path), bytes);
        const manifest = JSON.parse(await readFile(join(path, 'manifest.json'), 'utf8'));
        manifest.shards[1].bytes = bytes.length;
        await writeFile(join(path, 'manifest.json'), JSON.stringify(manifest));
      };
    expect(await opening(swapped('f16'))).toMatch(/x is F16 \[7, 70\]; manifest\.json says F32 \[7, 70\]/);
    expect(await opening(swapped('f32', 'shard-00000.safetensors'))).toMatch(
      /\(rows 10 to 16 of 17\): x is F32 \[10, 70\]; manifest\.json says F32 \[7, 70\]/,
    );
    expect(await opening(swapped('bf16'), 'int8')).toMatch(/x is BF16 .* says I8/);
  });

  test('a wrong checksum, when it is asked for', async () => {
    const path = await copyOf('bf16');
    const file = join(path, 'shard-00000.safetensors');
    const bytes = await readFile(file);
    bytes[bytes.length - 5]! ^= 1;
    await writeFile(file, bytes);
    await (await openActivations(path)).close();
    const found = await message(verifyActivations(path));
    expect(found).toMatch(
      /Checksum differs from manifest\.json: .*shard-00000\.safetensors \(rows 0 to 9 of 17\)/,
    );
    expect(found).toMatch(remedy);
    expect(await message(verifyActivations(join(golden, '..')))).toMatch(/no manifest\.json of saekit/);
  });

  test('a manifest that is damaged or newer, and an empty harvest', async () => {
    const edit = (change: (manifest: Record<string, unknown>) => void) => async (path: string) => {
      const manifest = JSON.parse(await readFile(join(path, 'manifest.json'), 'utf8'));
      change(manifest);
      await writeFile(join(path, 'manifest.json'), JSON.stringify(manifest));
    };
    expect(await opening(edit((m) => delete m.rows))).toMatch(/manifest\.json: rows: /);
    expect(await opening(edit((m) => (m.schemaVersion = 9)))).toMatch(
      /schema version 9, .* reads 1. Update saekit/,
    );
    expect(await opening(edit((m) => (m.schemaVersion = 0)))).toMatch(
      /schemaVersion is 0, this saekit reads 1\. The file is damaged/,
    );
    expect(await opening(edit((m) => (m.rows = 18)))).toMatch(
      /manifest\.json: rows: not the sum of the rows of its shards/,
    );
    expect(
      await opening(edit((m) => ((m.shards as { file: string }[])[1]!.file = '../../secrets.safetensors'))),
    ).toMatch(/manifest\.json: shards\.1\.file: /);
    const cut = await opening((path) => truncate(join(path, 'manifest.json'), 900), 'int8');
    expect(cut).toMatch(/manifest\.json: .*JSON.*it was cut off or changed/);
    expect(cut).toMatch(remedy);
    // The scales alone must not pass for activations.
    expect(await opening((path) => unlink(join(path, 'manifest.json')), 'int8')).toMatch(
      /shard-00000\.safetensors: 8-bit blocks of `saekit harvest`, and no manifest\.json/,
    );
    expect(await opening(edit((m) => Object.assign(m, { rows: 0, shards: [] })))).toMatch(
      /no rows yet.*Run it again/,
    );
  });

  test('a folder with other things in it, another harvest, and numbers beyond float16', async () => {
    const make = async (path: string, change: Partial<HarvestOrigin> = {}): Promise<string> =>
      message(createShardWriter(path, { ...(await origin('f16')), ...change }, { saekit: 'test' }));
    const other = newFolder();
    await cp(golden, other, { recursive: true });
    expect(await make(other)).toMatch(/is not empty \(.*holds no activations.*--out/);
    const path = await copyOf('f16');
    expect(await make(path, { seed: '5', contextLength: 9 })).toMatch(
      /different contextLength, seed\).*--out/,
    );
    expect(await make(path)).toBe('no error');
    const writer = await createShardWriter(newFolder(), await origin('f16'), { saekit: 'test' });
    const large = rowsOf(0, 1);
    large.x[3] = -65_520;
    expect(await message(writer.append(0, large, place(0)))).toMatch(
      /Activation 3 is -65520, beyond float16.*--dtype bf16/,
    );
    large.x[3] = 65_519;
    const fits = await createShardWriter(newFolder(), await origin('f16'), { saekit: 'test' });
    expect(await message(fits.append(0, large, place(0)))).toBe('no error');
  });
});
