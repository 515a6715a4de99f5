// Balanced orders against a slow obvious version: for every beginning, what every value has of it is counted again.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { balancedOrder, epochOrder } from './order.ts';

/** Documents with a value of each of two fields; −1 for none. */
const corpora = fc.array(
  fc.record({
    bytes: fc.integer({ min: 1, max: 50 }),
    register: fc.integer({ min: -1, max: 4 }),
    language: fc.integer({ min: -1, max: 6 }),
  }),
  { maxLength: 60 },
);
type Corpus = { bytes: number; register: number; language: number }[];
const columnsOf = (documents: Corpus, fields: readonly ('register' | 'language')[]) =>
  fields.map((field) => Int32Array.from(documents, (document) => document[field]));
const bytesOf = (documents: Corpus) => documents.map(({ bytes }) => bytes);

test('of one column: always a document of the value of which least text was taken', () => {
  fc.assert(
    fc.property(corpora, fc.integer({ min: 0, max: 9 }), (documents, seed) => {
      const random = [...epochOrder(documents.length, seed, 0)];
      const taken = new Map<number, number>();
      const slow: number[] = [];
      while (slow.length < documents.length) {
        const left = random.filter((d) => !slow.includes(d));
        const had = (d: number) => taken.get(documents[d]!.register) ?? 0;
        const least = Math.min(...left.map(had));
        const next = left.find((d) => had(d) === least)!;
        taken.set(documents[next]!.register, least + documents[next]!.bytes);
        slow.push(next);
      }
      expect([...balancedOrder(columnsOf(documents, ['register']), bytesOf(documents), seed)]).toEqual(slow);
    }),
  );
});

test('of several: the first t bytes of every value of every column, and nothing else', () => {
  fc.assert(
    fc.property(corpora, fc.integer({ min: 0, max: 9 }), fc.nat({ max: 80 }), (documents, seed, t) => {
      const fields = ['register', 'language'] as const;
      const random = [...epochOrder(documents.length, seed, 0)];
      const wanted = new Set<number>();
      for (const field of fields)
        for (const value of new Set(documents.map((document) => document[field]))) {
          let had = 0;
          for (const d of random.filter((d) => documents[d]![field] === value)) {
            if (had > t) break;
            wanted.add(d);
            had += documents[d]!.bytes;
          }
        }
      const order = balancedOrder(columnsOf(documents, fields), bytesOf(documents), seed);
      expect(new Set(order.subarray(0, wanted.size))).toEqual(wanted);
    }),
  );
});

test('another seed is another order, and without columns it is the random one', () => {
  const bytes = new Array(40).fill(10);
  const values = Int32Array.from(bytes, (_, d) => d % 3);
  expect([...balancedOrder([values], bytes, 1)]).not.toEqual([...balancedOrder([values], bytes, 2)]);
  expect([...balancedOrder([], bytes, 1)]).toEqual([...epochOrder(40, 1, 0)]);
});
