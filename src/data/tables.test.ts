import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openCorpus } from './node/corpus.ts';

// test/oracles/data/make_tables.py: pyarrow and Python's csv.
const golden = (name: string): string =>
  fileURLToPath(new URL(`../../test/golden/data/${name}`, import.meta.url));
type Row = { text: string; year: number; share: number; party: string | null; ok: boolean };
const rows = JSON.parse(readFileSync(golden('rows.json'), 'utf8')) as Row[];

async function documents(data: string[], textField?: string) {
  const corpus = await openCorpus({ data, ...(textField ? { textField } : {}) });
  const sets = [corpus.train, corpus.heldout];
  const all = await Promise.all(
    sets.flatMap((set) => Array.from({ length: set.count }, (_, i) => set.get(i))),
  );
  await corpus.close();
  return all.sort((a, b) => Number(a.id.split(':')[1]) - Number(b.id.split(':')[1]));
}

describe('Parquet', () => {
  for (const compression of ['none', 'snappy', 'gzip', 'zstd', 'lz4', 'brotli'])
    test(`${compression}: rows and columns as pyarrow wrote them`, async () => {
      const found = await documents([golden(`${compression}.parquet`)]);
      expect(found.map(({ text }) => text)).toEqual(rows.map(({ text }) => text));
      expect(found[7]!.meta).toMatchObject({ year: 1907, share: 7 / 8, ok: false });
      expect(found.map(({ meta }) => meta.party ?? null)).toEqual(rows.map(({ party }) => party));
      expect(found[17]!.id).toBe(`${compression}.parquet:18`);
    });

  test('another column is named with textField', async () => {
    const found = await documents([golden('body.parquet')], 'body');
    expect(found.map(({ text }) => text)).toEqual(rows.map(({ text }) => text));
  });
});

describe('CSV and TSV', () => {
  for (const name of ['rows.csv', 'rows.tsv', 'rows.csv.gz'])
    test(`${name}: quotes, separators and line ends inside fields`, async () => {
      const found = await documents([golden(name)]);
      expect(found.map(({ text }) => text)).toEqual(rows.map(({ text }) => text));
      expect(found[7]!.meta).toMatchObject({ year: '1907', party: 'blue' });
    });
});

describe('errors name file, row and column', () => {
  let folder = '';
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'saekit-test-'));
  });
  afterEach(() => rm(folder, { recursive: true }));
  const fails = (data: string) =>
    openCorpus({ data: [data] }).then(
      () => 'opened',
      (error: Error) => error.message,
    );
  async function put(name: string, content: string | Uint8Array): Promise<string> {
    await writeFile(join(folder, name), content);
    return join(folder, name);
  }

  test('a column that is not there, nearest offered', async () => {
    expect(await fails(golden('body.parquet'))).toMatch(
      /body\.parquet: no column "text".*It has body, year.*--text-field/,
    );
    expect(await fails(await put('a.csv', 'texts,b\nx,y\n'))).toMatch(
      /a\.csv: no column "text"\. Did you mean texts\?/,
    );
  });

  test('a column of numbers', async () => {
    const error = await openCorpus({ data: [golden('none.parquet')], textField: 'year' }).catch((e) => e);
    expect((error as Error).message).toMatch(/none\.parquet row 1: field "year" is not a string/);
  });

  test('a truncated Parquet file, in its footer and in its pages', async () => {
    const bytes = readFileSync(golden('zstd.parquet'));
    expect(await fails(await put('cut.parquet', bytes.subarray(0, bytes.length / 2)))).toMatch(
      /cut\.parquet: not a whole Parquet file/,
    );
    const broken = Uint8Array.from(bytes);
    broken.fill(0xff, 60, 200);
    expect(await fails(await put('broken.parquet', broken))).toMatch(/broken\.parquet.*(damaged|row)/);
  });

  test('an unclosed quote and a row with too many fields', async () => {
    expect(await fails(await put('quote.csv', 'text\nfine\n"never closed\n'))).toMatch(/quote\.csv row 2: /);
    expect(await fails(await put('wide.csv', 'text,b\n1,2\n1,2,3\n'))).toMatch(/wide\.csv row 2: /);
  });
});

describe('mixtures', () => {
  test('PATH=WEIGHT on every path gives parts; on some only is refused', async () => {
    const corpus = await openCorpus({
      data: [`${golden('rows.csv')}=0.8`, `${golden('body.parquet')}=.2`],
      textField: 'text',
    }).catch((error: Error) => error.message);
    expect(corpus).toMatch(/body\.parquet: no column "text"/);
    const mixed = await openCorpus({ data: [`${golden('rows.csv')}=3`, `${golden('none.parquet')}=1`] });
    expect(mixed.mixture!.map(({ weight }) => weight)).toEqual([3, 1]);
    expect(mixed.mixture!.reduce((sum, { documents }) => sum + documents.count, 0)).toBe(mixed.train.count);
    const [csv] = mixed.mixture!;
    expect((await csv!.documents.get(0)).meta.file).toBe('rows.csv');
    await mixed.close();
    await expect(openCorpus({ data: [`${golden('rows.csv')}=3`, golden('none.parquet')] })).rejects.toThrow(
      /Some data has a weight and some has none/,
    );
    await expect(
      openCorpus({ data: [`${golden('rows.csv')}=1`, `${golden('rows.csv')}=1`] }),
    ).rejects.toThrow(/in two parts/);
  });
});
