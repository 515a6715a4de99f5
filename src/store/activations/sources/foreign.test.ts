// Files written by numpy, safetensors, pyarrow, datasets, sae-lens, Llamascopium and delphi: test/oracles/activations/make_activations.py.
import { cp, mkdtemp, readdir, readFile, readlink, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  allRows,
  expectedRows,
  formula,
  golden,
  range,
  token,
} from '../../../../test/support/golden-activations.ts';
import { createFilePool } from './files.ts';
import { openActivations } from './registry.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'saekit-foreign-'));
});
afterAll(() => rm(folder, { recursive: true }));

const fails = (path: string): Promise<string> =>
  openActivations(path).then(
    async (source) => {
      await source.close();
      return `opened ${source.format}`;
    },
    (error: Error) => error.message,
  );

type Case = { path: string; format: string; rows: readonly number[]; tokens?: true; meta?: object };
const twenty = range(0, 20);
const all = range(0, 300);
const hook = 'blocks.3.hook_resid_post';
const kept = range(0, 35).filter((i) => i % 5 !== 0 && ![13, 14, 33].includes(i));
const cases: Case[] = [
  { path: 'safetensors/f32.safetensors', format: 'safetensors', rows: twenty },
  { path: 'safetensors/f64.safetensors', format: 'safetensors', rows: twenty },
  { path: 'safetensors/bf16.safetensors', format: 'safetensors', rows: twenty },
  {
    path: 'safetensors/f16-tokens.safetensors',
    format: 'safetensors',
    rows: twenty,
    tokens: true,
    meta: { model: 'org/tiny', hook },
  },
  { path: 'safetensors/two.safetensors#layer_30', format: 'safetensors', rows: range(5, 25) },
  { path: 'safetensors-many', format: 'safetensors', rows: twenty },
  ...['f2', 'f4', 'f8', 'big-endian', 'fortran', 'sequences', 'v2', 'v3'].map((name) => ({
    path: `npy/${name}.npy`,
    format: 'npy',
    rows: twenty,
  })),
  { path: 'npy-tokens', format: 'npy', rows: twenty, tokens: true },
  { path: 'npy-many', format: 'npy', rows: twenty },
  { path: 'npy-many#chunk_1', format: 'npy', rows: range(9, 17) },
  { path: 'npz/stored.npz', format: 'npz', rows: twenty, tokens: true },
  { path: 'npz/deflated.npz', format: 'npz', rows: twenty, tokens: true },
  { path: 'npz/two.npz#attention', format: 'npz', rows: range(9, 29) },
  ...[
    'dictionary',
    'dictionary-falls-back',
    'plain-v1',
    'plain-v2',
    'byte-stream-split',
    'page-index',
    'fixed-size',
    'double',
    'half',
    'required',
    'nested',
  ].map((name) => ({ path: `parquet/${name}.parquet`, format: 'Parquet', rows: all })),
  { path: 'parquet/two.parquet#b', format: 'Parquet', rows: range(9, 309) },
  { path: 'arrow/file.arrow', format: 'Arrow', rows: all, tokens: true },
  { path: 'arrow/among-others.arrow', format: 'Arrow', rows: all },
  { path: 'saelens', format: 'Arrow', rows: range(0, 120), tokens: true, meta: { hook, contextLength: 5 } },
  { path: 'dataset-dict#train#second', format: 'Arrow', rows: range(9, 29) },
  {
    path: 'llamascopium#blocks.1.hook_resid_post',
    format: 'Llamascopium chunks',
    rows: kept,
    tokens: true,
    meta: { hook: 'blocks.1.hook_resid_post', model: 'org/tiny' },
  },
  {
    path: 'llamascopium-shards',
    format: 'Llamascopium chunks',
    rows: range(0, 80),
    tokens: true,
    meta: { hook: 'layer' },
  },
];

describe('rows are the numbers that the other program wrote', () => {
  for (const { path, format, rows, tokens, meta = {} } of cases)
    test(path, async () => {
      const source = await openActivations(golden(path));
      expect({ format: source.format, rows: source.rows, D: source.D, meta: source.meta }).toEqual({
        format,
        rows: rows.length,
        D: 6,
        meta,
      });
      for (const block of [1, 7, 64, rows.length])
        expect(await allRows(source, block)).toEqual(expectedRows(rows, 6));
      if (tokens) expect([...(await source.readTokens!(3, 9))]).toEqual(rows.slice(3, 12).map(token));
      else expect(source.readTokens).toBeUndefined();
      await source.close();
    });

  test('Llamascopium in bfloat16, and a row is named as it stands in its file', async () => {
    const source = await openActivations(golden('llamascopium#blocks.2.hook_resid_post'));
    expect(await allRows(source, 5)).toEqual(expectedRows(kept, 6).map((v) => v + 1));
    // A chunk has 3 sequences of 5, so row 16 of all is row 1 of the second.
    expect(source.where!(kept.indexOf(16))).toMatch(/chunk-00000001\.safetensors, row 1$/);
    await source.close();
  });
});

describe('what a file is called does not decide what it is', () => {
  test.each([
    ['safetensors/f32.safetensors', 'safetensors'],
    ['npy/f4.npy', 'npy'],
    ['npz/stored.npz', 'npz'],
    ['parquet/plain-v1.parquet', 'Parquet'],
    ['saelens/data-00000-of-00002.arrow', 'Arrow'],
  ])('%s under another name', async (path, format) => {
    const copy = join(folder, `${format}.bin`);
    await cp(golden(path), copy);
    const source = await openActivations(copy);
    expect(source.format).toBe(format);
    await source.close();
  });

  test('a # in the name of a file belongs to the name', async () => {
    const copy = join(folder, 'run#3.npy');
    await cp(golden('npy/f4.npy'), copy);
    expect(await fails(copy)).toBe('opened npy');
    expect(await fails(`${copy.slice(0, -6)}#4.npy`)).toMatch(/no such file or folder/);
  });
});

describe('fingerprints', () => {
  const of = async (path: string): Promise<string> => {
    const source = await openActivations(path);
    await source.close();
    return source.fingerprint;
  };
  test('stay when a folder is copied, change with a byte and with what was chosen', async () => {
    const copy = join(folder, 'copy');
    await cp(golden('npy-many'), copy, { recursive: true });
    expect(await of(copy)).toBe(await of(golden('npy-many')));
    const file = join(copy, 'chunk_2.npy');
    const bytes = await readFile(file);
    bytes[bytes.length - 1]! ^= 1;
    await writeFile(file, bytes);
    expect(await of(copy)).not.toBe(await of(golden('npy-many')));
    expect(await of(golden('npz/two.npz#mlp'))).not.toBe(await of(golden('npz/two.npz#attention')));
  });
});

describe('refused, with what was found and what to do', () => {
  test.each([
    ['safetensors/int8.safetensors#acts', /tensor acts \(I8 \[20, 2\]\) holds integers.*scale/],
    ['safetensors/int8.safetensors', /no tensor of floats \[N, D\] or \[N, T, D\]. It has acts \(I8/],
    ['safetensors/two.safetensors', /2 tensors could be.*layer_3, layer_30.*Name one: .*#layer_3$/],
    ['safetensors/two.safetensors#layer_31', /no tensor "layer_31".*Did you mean "layer_3" or "layer_30"\?/],
    ['safetensors/two.safetensors#loss', /tensor loss has shape \[20\]; expected \[N, D\]/],
    ['safetensors', /f16-tokens\.safetensors: no tensor acts; it has tokens, hidden/],
    ['npy/fortran-sequences.npy', /Fortran order.*ascontiguousarray/],
    ['npy/flat.npy', /shape \[6\]; expected \[N, D\].*One number per row/],
    ['npy/images.npy', /shape \[2, 3, 4, 4\].*channels last and reshape/],
    ['npy/integers.npy', /holds integers \(I64\)/],
    ['npy/bfloat16.npy', /'\|V2'.*bfloat16/],
    ['npy/objects.npy', /'\|O'.*Python objects/],
    ['npy/structured.npy', /dtype \[\('x'/],
    ['npy/empty.npy', /no rows: F32 \[N,D\] with D 6, but N is 0/],
    ['npy/f5.npy', /no such file or folder. Did you mean "f2.npy"/],
    ['nowhere/f4.npy', /no such file, and no folder .*nowhere either/],
    ['npz/two.npz', /2 arrays could be.*#mlp/],
    ['npz/two.npz#attentoin', /Did you mean "attention"/],
    ['npz/no-arrays.zip', /no \.npz: its entries are not \.npy/],
    ['npz', /holds 3 npz files and 1 zip file; which of them/],
    ['tensor.pt', /PyTorch.*pickle.*save_file\({"activations": torch.load\(".*tensor\.pt"/s],
    ['legacy.pt', /PyTorch.*pickle/],
    ['llamascopium-pt', /chunk-00000000\.pt: a PyTorch file/],
    ['llamascopium', /2 folders, blocks\.1.*#blocks\.1\.hook_resid_post/],
    ['llamascopium#blocks.3.hook_resid_post', /no folder blocks\.3.*Did you mean "blocks.1/],
    ['parquet/two.parquet', /2 columns could be the activations: a, b/],
    ['parquet/two.parquet#aa', /Did you mean "a"/],
    ['parquet/one-column-per-dimension.parquet', /no column of lists.*d0 \(float\).*np\.save/],
    ['arrow/compressed.arrow', /compressed; write it again/],
    ['dataset-dict', /2 folders, test, train. Name one/],
    ['dataset-dict#train', /2 columns could be the activations: first, second/],
    ['delphi-whole/config.json', /no such file/],
  ])('%s', async (path, message) => {
    expect(await fails(golden(path))).toMatch(message);
  });

  test.each([
    ['parquet/ragged.parquet', 170],
    ['parquet/null.parquet', 40],
    ['parquet/null-inside.parquet', 7],
  ])('%s: the row is named, and the rows before it are read', async (path, row) => {
    const source = await openActivations(golden(path));
    await expect(source.read(row - 1, 4, new Float32Array(4 * 6))).rejects.toThrow(
      new RegExp(`^Rows ${row - 1} to ${row + 2} cannot be read: .*parquet, row ${row}, column v: `),
    );
    await source.close();
  });

  test.each(['ragged', 'null'])('arrow/%s.arrow', async (name) => {
    const message = await openActivations(golden(`arrow/${name}.arrow`)).then(
      (source) =>
        source
          .read(0, 1, new Float32Array(6))
          .then(
            () => 'read',
            (e: Error) => e.message,
          )
          .finally(() => source.close()),
      (e: Error) => e.message,
    );
    expect(message).toMatch(
      name === 'null' ? /record batch 0, column v: holds null/ : /list 3 has 5 elements, expected 6/,
    );
  });

  test('files that do not agree, both named', async () => {
    const mixed = join(folder, 'mixed');
    await cp(golden('npy-many'), mixed, { recursive: true });
    await cp(golden('npy/f2.npy'), join(mixed, 'chunk_9.npy'));
    expect(await fails(mixed)).toMatch(
      /chunk_9\.npy: F16 \[N,D\] with D 6, but .*chunk_0\.npy has F32 \[N,D\] with D 6/,
    );
    await cp(golden('parquet/plain-v1.parquet'), join(mixed, 'x.parquet'));
    expect(await fails(mixed)).toMatch(/holds 4 npy files and 1 Parquet file; which of them/);
  });

  test('folders without activations, and files that are none', async () => {
    const text = join(folder, 'notes');
    await cp(golden('delphi/layers.1/config.json'), join(text, 'readme.json'));
    expect(await fails(text)).toMatch(/no activations; it holds readme\.json. Known are safetensors/);
    expect(await fails(join(text, 'readme.json'))).toMatch(/neither its first bytes nor its name/);
    await writeFile(join(text, 'empty.npy'), '');
    expect(await fails(join(text, 'empty.npy'))).toMatch(/an empty file/);
  });

  test('a data set with a file missing', async () => {
    const copy = join(folder, 'saelens');
    await cp(golden('saelens'), copy, { recursive: true });
    await rm(join(copy, 'data-00000-of-00002.arrow'));
    expect(await fails(copy)).toMatch(/state\.json names data-00000-of-00002\.arrow, which is missing/);
  });

  test('a file that changed since it was opened', async () => {
    const copy = join(folder, 'changing.npy');
    await cp(golden('npy/f4.npy'), copy);
    const source = await openActivations(copy);
    await source.close();
    await truncate(copy, 400);
    await expect(source.read(2, 3, new Float32Array(18))).rejects.toThrow(
      /^Rows 2 to 4 cannot be read: .*changing\.npy: it had 608 bytes when it was opened and has 400 now/,
    );
    // Reading had opened it again.
    await source.close();
  });

  test('rows beyond the end', async () => {
    const source = await openActivations(golden('npy/f4.npy'));
    await expect(source.read(15, 6, new Float32Array(36))).rejects.toThrow(
      /rows 15 to 21 were asked for; it has 20/,
    );
    await source.close();
  });
});

test('a signal stops opening and reading', async () => {
  const stopped = AbortSignal.abort(new Error('stopped by hand'));
  await expect(openActivations(golden('saelens'), { signal: stopped })).rejects.toThrow('stopped by hand');
  const controller = new AbortController();
  const source = await openActivations(golden('npy/f4.npy'), { signal: controller.signal });
  controller.abort(new Error('stopped by hand'));
  await expect(source.read(0, 1, new Float32Array(6))).rejects.toThrow('stopped by hand');
  await source.close();
});

test('of many files only a few are open, whatever is read at once', async () => {
  const names = range(0, 12).map((k) => join(folder, `many-${k}.bin`));
  await Promise.all(names.map((name, k) => writeFile(name, new Uint8Array(100).fill(k))));
  const pool = createFilePool({ maxOpen: 3 });
  const files = await Promise.all(names.map(pool.file));
  const openNow = async (): Promise<number> => {
    const links = await readdir('/proc/self/fd').catch(() => []);
    const targets = await Promise.all(links.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')));
    return targets.filter((target) => names.includes(target)).length;
  };
  const reads = range(0, 60).map(async (i) => {
    const [first, last] = await files[i % 12]!.source.slice(i, i + 40).then((bytes) => [
      bytes[0],
      bytes.at(-1),
    ]);
    expect([first, last]).toEqual([i % 12, i % 12]);
  });
  await Promise.all(reads);
  for (const { source } of files) await source.slice(0, 1);
  expect(await openNow()).toBeLessThanOrEqual(3);
  await pool.close();
  expect(await openNow()).toBe(0);
});

test('numbers that are no numbers are read as they are, and can be located', async () => {
  const copy = join(folder, 'nan.npy');
  const bytes = await readFile(golden('npy/f4.npy'));
  bytes.writeFloatLE(Number.NaN, bytes.length - 4 * 6 * 3);
  await writeFile(copy, bytes);
  const source = await openActivations(copy);
  const row = new Float32Array(6);
  await source.read(17, 1, row);
  expect([...row]).toEqual([Number.NaN, ...range(1, 6).map((j) => formula(17, j))]);
  expect(source.where!(17)).toBe(`${copy}, row 17`);
  await source.close();
});

describe('cut short anywhere, a file is refused or read right', () => {
  test.each([
    'safetensors/f16-tokens.safetensors',
    'npy/f4.npy',
    'npz/stored.npz',
    'npz/deflated.npz',
    'parquet/plain-v2.parquet',
    'parquet/dictionary.parquet',
    'arrow/file.arrow',
    'saelens/data-00000-of-00002.arrow',
    'delphi/layers.1/3_6.safetensors',
  ])('%s', async (path) => {
    const whole = await readFile(golden(path));
    const name = join(folder, `cut-${path.replaceAll('/', '-')}`);
    const reference = await openActivations(golden(path));
    const expected = await allRows(reference, 50);
    await reference.close();
    for (let k = 0; k < 40; k++) {
      const bytes = whole.subarray(0, Math.floor((whole.length * k) / 40));
      await writeFile(name, bytes);
      const result = await openActivations(name).then(
        async (source) => {
          const x = await allRows(source, 50).catch((error: Error) => error.message);
          await source.close();
          return x;
        },
        (error: Error) => error.message,
      );
      if (typeof result === 'string') expect(result).toContain(name);
      else expect(result).toEqual(expected);
    }
  });
});
