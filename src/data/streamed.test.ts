import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Tokenizer } from '../models/types.ts';
import { fromBytes } from '../platform/index.ts';
import { openCorpus } from './node/corpus.ts';
import { documentOrder } from './order.ts';
import { packRows } from './pack.ts';
import { openParquetDocuments } from './parquet.ts';
import type { DocumentSet } from './types.ts';

// test/oracles/data/make_tables.py: 2,000 rows in row groups of 100, by pyarrow.
const grouped = fileURLToPath(new URL('../../test/golden/data/grouped.parquet', import.meta.url));

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'saekit-test-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function texts(set: DocumentSet): Promise<string[]> {
  const all = await Promise.all(Array.from({ length: set.count }, (_, i) => set.get(i)));
  return all.map(({ text }) => text).filter((text) => text !== '');
}

test('blocks: every document once per epoch, whole blocks one after the other, another order per epoch and seed', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 12 }),
      fc.nat(),
      (sizes, seed) => {
        const blocks = [0];
        for (const size of sizes) blocks.push(blocks.at(-1)! + size);
        const count = blocks.at(-1)!;
        const order = documentOrder({ count, blocks }, seed, 0);
        const found = Array.from({ length: count }, (_, i) => order(i));
        expect([...found].sort((a, b) => a - b)).toEqual(found.map((_, i) => i));
        const blockOf = (i: number) => blocks.findLastIndex((first) => first <= i);
        const changes = found.filter((d, i) => i > 0 && blockOf(d) !== blockOf(found[i - 1]!)).length;
        expect(changes).toBe(sizes.length - 1);
        // Any position may be asked for first: a cursor does.
        const again = documentOrder({ count, blocks }, seed, 0);
        expect(again(count - 1)).toBe(found[count - 1]);
      },
    ),
  );
  const orders = [
    [1, 0],
    [1, 1],
    [2, 0],
  ].map(([seed, epoch]) => {
    const order = documentOrder({ count: 60, blocks: [0, 20, 40, 60] }, seed!, epoch!);
    return Array.from({ length: 60 }, (_, i) => order(i)).join();
  });
  expect(new Set(orders).size).toBe(3);
});

test('streamed and scanned, the same documents are trained on; held-out ones never are', async () => {
  const scanned = await openCorpus({ data: [grouped], stream: false });
  const streamed = await openCorpus({ data: [grouped], stream: true });
  expect((await texts(streamed.train)).sort()).toEqual((await texts(scanned.train)).sort());
  expect((await texts(streamed.heldout)).sort()).toEqual((await texts(scanned.heldout)).sort());
  expect(streamed.heldout.count).toBeGreaterThan(50);
  expect(scanned.nearDuplicates).toBeGreaterThan(5);
  expect(streamed.split).toMatch(/1 files read as training goes on, \d+ of their held-out documents/);
  expect(streamed.train.fingerprint).not.toBe(scanned.train.fingerprint);
  const all = await openCorpus({ data: [grouped], stream: true, keepNearDuplicates: true });
  expect((await texts(all.train)).length).toBe((await texts(scanned.train)).length + scanned.nearDuplicates);
  await Promise.all([scanned.close(), streamed.close(), all.close()]);
});

test('named held-out files are left out of streamed text as well', async () => {
  const scanned = await openCorpus({ data: [grouped], stream: false });
  const some = (await texts(scanned.train)).slice(0, 40);
  await scanned.close();
  const held = join(folder, 'held.jsonl');
  await writeFile(held, some.map((text) => `${JSON.stringify({ text })}\n`).join(''));
  const corpus = await openCorpus({ data: [grouped], heldout: [held], stream: true });
  const train = new Set(await texts(corpus.train));
  expect(some.filter((text) => train.has(text))).toEqual([]);
  expect(corpus.heldout.count).toBe(40);
  await corpus.close();
});

test('one pass reads every byte of the text column about once, and nothing of the others', async () => {
  const bytes = new Uint8Array(readFileSync(grouped));
  let read = 0;
  const source = {
    byteLength: bytes.length,
    async slice(start: number, end: number) {
      read += end - start;
      return bytes.slice(start, end);
    },
  };
  const documents = await openParquetDocuments(source, { name: 'far/grouped.parquet', column: 'text' });
  const footer = read;
  expect(documents.blocks.length).toBe(21);
  const order = documentOrder(documents, 0, 0);
  for (let i = 0; i < documents.count; i++) await documents.get(order(i));
  expect(read - footer).toBeLessThan(bytes.length * 0.6);
  expect((await documents.get(7)).id).toBe('grouped.parquet:8');
});

const letters = {
  encode: (text: string) => [...text].map((c) => c.charCodeAt(0) % 90),
  specialIds: new Set<number>(),
} as unknown as Tokenizer;

test('files of both kinds together: every token once per epoch, and a cursor taken anywhere continues', async () => {
  await writeFile(join(folder, 'more.jsonl'), '{"text":"some more text"}\n{"text":"and again"}\n');
  const data = [grouped, join(folder, 'more.jsonl')];
  const corpus = await openCorpus({ data, stream: true });
  const pack = { documents: corpus.train, tokenizer: letters, contextLength: 64, bosTokenId: 91 };
  const rows = packRows({ ...pack, endless: false });
  let tokens = 0;
  for (let next = await rows.next(50); next; next = await rows.next(50))
    for (const [i, id] of next.ids.entries()) tokens += next.mask[i] === 1 && id !== 91 ? 1 : 0;
  expect(tokens).toBe((await texts(corpus.train)).join('').length);

  const one = packRows(pack);
  await one.next(37);
  const cursor = JSON.parse(JSON.stringify(one.cursor()));
  const again = await openCorpus({ data, stream: true });
  const two = packRows({ ...pack, documents: again.train, cursor });
  for (let i = 0; i < 5; i++) expect(await two.next(20)).toEqual(await one.next(20));
  await Promise.all([corpus.close(), again.close()]);
});

test('what is no path is given to the resolver: remote Parquet by range, with its own column', async () => {
  const bytes = new Uint8Array(readFileSync(grouped));
  const asked: string[] = [];
  const options = {
    data: ['org/name:default/train#text=0.5', `${grouped}=0.5`],
    textField: 'text',
    resolve: async (argument: string) => {
      asked.push(argument);
      if (!argument.startsWith('org/name')) return undefined;
      const source = { ...fromBytes(bytes), sha256: 'known' };
      return [{ path: 'org/name/0.parquet', kind: 'parquet' as const, gzip: false, source, column: 'text' }];
    },
  };
  for (const stream of [true, false]) {
    const corpus = await openCorpus({ ...options, stream });
    expect(asked.pop()).toBe('org/name:default/train#text');
    expect(corpus.files.map(({ sha256 }) => sha256)[0]).toBe('known');
    expect(corpus.mixture!.map(({ documents }) => documents.count)[0]).toBeGreaterThan(1000);
    await corpus.close();
  }
  await expect(openCorpus({ ...options, data: ['nobody/nothing'] })).rejects.toThrow(
    /no such file|no folder/,
  );
});

test('a row that is no text is named when it is met', async () => {
  const corpus = await openCorpus({ data: [grouped], stream: true, heldout: [grouped] });
  await corpus.close();
  await expect(openCorpus({ data: [grouped], stream: true, textField: 'number' })).rejects.toThrow(
    /grouped\.parquet row \d+: field "number" is not a string/,
  );
  await expect(openCorpus({ data: [grouped], stream: true, textField: 'txt' })).rejects.toThrow(
    /no column "txt"\. Did you mean text/,
  );
});
