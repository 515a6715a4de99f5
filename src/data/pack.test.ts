import fc from 'fast-check';
import { expect, test } from 'vitest';
import { byteTokenizer } from '../../test/support/tokenizers.ts';
import { memoryDocuments } from './documents.ts';
import { type PackOptions, packRows } from './pack.ts';
import type { PackedRows } from './types.ts';

const BOS = 1;
const base = { tokenizer: byteTokenizer, bosTokenId: BOS, contextLength: 8 } as const;

async function readAll(options: PackOptions, rowsPerRead = 3): Promise<PackedRows[]> {
  const source = packRows({ ...options, endless: false });
  const all: PackedRows[] = [];
  for (let rows = await source.next(rowsPerRead); rows; rows = await source.next(rowsPerRead)) all.push(rows);
  return all;
}
const rowsOf = (list: readonly PackedRows[]): number[][] =>
  list.flatMap(({ R, T, ids }) => Array.from({ length: R }, (_, r) => [...ids.subarray(r * T, (r + 1) * T)]));
const text = (ids: readonly number[]): string =>
  ids.map((id) => (id === BOS ? '^' : id === 0 ? '.' : String.fromCharCode(id - 3))).join('');

test('rows by hand: BOS at row and document starts, long documents continue, the last row is padded', async () => {
  const documents = memoryDocuments(['abc', '', 'defghijklmnop', 'q', 'r', 'stuvw', 'xy']);
  const rows = rowsOf(await readAll({ ...base, documents, order: 'files' }));
  // 'stuvw' fills row 3 up to its last place but one… the BOS of 'xy' begins in row 4.
  expect(rows.map(text)).toEqual(['^abc^def', '^ghijklm', '^nop^q^r', '^stuvw^x', '^y......']);
});

test('one place left at the end of a row takes the BOS of the document that the next row begins', async () => {
  const documents = memoryDocuments(['abcdef', 'ghi']);
  const rows = rowsOf(await readAll({ ...base, documents, order: 'files' }));
  expect(rows.map(text)).toEqual(['^abcdef^', '^ghi....']);
});

test('without a BOS id documents simply follow one another', async () => {
  const documents = memoryDocuments(['abc', 'defghijk']);
  const rows = rowsOf(await readAll({ ...base, bosTokenId: undefined, documents, order: 'files' }));
  expect(rows.map(text)).toEqual(['abcdefgh', 'ijk.....'].map((row) => row));
});

test('every token of every document is given exactly once, in order, whatever the lengths', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ unit: 'grapheme', maxLength: 30 }), { minLength: 1, maxLength: 12 }),
      fc.integer({ min: 2, max: 17 }),
      fc.integer({ min: 1, max: 4 }),
      async (texts, contextLength, rowsPerRead) => {
        fc.pre(texts.some((t) => t.length > 0));
        const documents = memoryDocuments(texts);
        const got = texts.map((): number[] => []);
        for (const { R, T, ids, mask, documents: owner, starts, ends } of await readAll(
          { ...base, contextLength, documents, seed: 3, offsets: true },
          rowsPerRead,
        )) {
          for (let i = 0; i < R * T; i++) {
            if (i % T === 0) expect(ids[i]).toBe(BOS);
            if (mask[i] === 0) expect(owner[i]).toBe(-1);
            else if (ids[i] !== BOS) {
              const document = texts[owner[i]!]!;
              got[owner[i]!]!.push(ids[i]!);
              // The byte must be one of the bytes of the characters that the offsets name.
              const bytes = new TextEncoder().encode(document.slice(starts[i]!, ends[i]!));
              expect([...bytes]).toContain(ids[i]! - 3);
            }
          }
        }
        expect(got).toEqual(texts.map((t) => byteTokenizer.encode(t)));
      },
    ),
    { numRuns: 150 },
  );
});

test('the order of documents depends on seed and epoch, and every epoch has every document once', async () => {
  const documents = memoryDocuments([...'abcdefgh'].map((c) => c.repeat(3)));
  const letters = async (seed: number): Promise<string> => {
    const source = packRows({ ...base, documents, seed, contextLength: 4 });
    let out = '';
    for (let i = 0; i < 16; i++) out += text([(await source.next(1))!.ids[1]!]);
    return out;
  };
  const first = await letters(0);
  expect(await letters(0)).toBe(first);
  expect(await letters(1)).not.toBe(first);
  expect(first.slice(0, 8)).not.toBe(first.slice(8));
  for (const epoch of [first.slice(0, 8), first.slice(8)])
    expect([...epoch].sort().join('')).toBe('abcdefgh');
});

test('a pass stopped after any row and resumed from its cursor, through JSON, gives the same rows', async () => {
  const documents = memoryDocuments(Array.from({ length: 9 }, (_, i) => 'x'.repeat(i * 4) + i));
  const options = { ...base, documents, seed: 5, offsets: true } as const;
  const straight = packRows(options);
  for (let stop = 0; stop < 40; stop++) {
    const cursor = JSON.parse(JSON.stringify(straight.cursor()));
    const resumed = packRows({ ...options, cursor });
    const a = await straight.next(1);
    const b = await resumed.next(1);
    expect(b).toEqual(a);
    expect(resumed.cursor()).toEqual(straight.cursor());
  }
  expect(straight.epochs).toBeGreaterThanOrEqual(1);
});

test('a given order is that of every epoch, and is kept by the cursor; one of other documents is refused', async () => {
  const documents = memoryDocuments([...'abcd'].map((c) => c.repeat(3)));
  const options = { ...base, documents, order: Uint32Array.of(2, 0, 3, 1), contextLength: 4 } as const;
  const source = packRows(options);
  let out = '';
  for (let i = 0; i < 8; i++) {
    const cursor = JSON.parse(JSON.stringify(source.cursor()));
    const row = await source.next(1);
    expect(await packRows({ ...options, cursor }).next(1)).toEqual(row);
    out += text([row!.ids[1]!]);
  }
  expect(out).toBe('cadbcadb');
  expect(() => packRows({ ...options, order: Uint32Array.of(0) })).toThrow('of 1 documents');
});

test('a finished pass stays finished when resumed', async () => {
  const documents = memoryDocuments(['ab']);
  const source = packRows({ ...base, documents, endless: false });
  expect((await source.next(5))!.R).toBe(1);
  expect(await source.next(5)).toBeUndefined();
  expect(
    await packRows({ ...base, documents, endless: false, cursor: source.cursor() }).next(1),
  ).toBeUndefined();
});

test('data without documents, without tokens, or of another run is refused in words', async () => {
  expect(() => packRows({ ...base, documents: memoryDocuments([], { name: 'held-out data' }) })).toThrow(
    /held-out data have no documents/,
  );
  await expect(packRows({ ...base, documents: memoryDocuments(['', '']) }).next(1)).rejects.toThrow(
    /2 documents, and none of them gives a single token/,
  );
  const cursor = packRows({ ...base, documents: memoryDocuments(['a']) }).cursor();
  expect(() => packRows({ ...base, documents: memoryDocuments(['b']), cursor })).toThrow(
    /belongs to other data/,
  );
  expect(() => packRows({ ...base, contextLength: 1, documents: memoryDocuments(['b']) })).toThrow(/T = 1/);
});
