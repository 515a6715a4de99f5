import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Tokenizer } from '../models/types.ts';
import { memoryDocuments } from './documents.ts';
import { mixRows } from './mix.ts';
import { packRows } from './pack.ts';
import type { DataCursor } from './types.ts';

/** One token per character. */
const tokenizer = {
  encode: (text: string) => [...text].map((c) => c.charCodeAt(0)),
  specialIds: new Set<number>(),
} as unknown as Tokenizer;
const T = 8;

function source(letter: string, documents: number, cursor?: DataCursor) {
  const texts = Array.from({ length: documents }, (_, i) => letter.repeat(3 + ((i * 7) % 11)));
  return packRows({
    documents: memoryDocuments(texts, { name: letter }),
    tokenizer,
    contextLength: T,
    bosTokenId: 1,
    ...(cursor ? { cursor } : {}),
  });
}
function mixture(weights: readonly number[], cursor?: DataCursor) {
  const parts = weights.map((weight, i) => ({
    rows: source('abcde'[i]!, 3 + i * 4, cursor?.parts?.[i]),
    weight,
  }));
  return mixRows(parts, cursor);
}

test('shares of tokens are the weights, to one row at any moment', async () => {
  const weights = [0.8, 0.15, 0.05];
  const rows = mixture(weights);
  const counts = [0, 0, 0];
  for (let n = 1; n <= 400; n++) {
    const { ids } = (await rows.next(1))!;
    const letters = new Set([...ids].filter((id) => id !== 1).map((id) => String.fromCharCode(id)));
    expect(letters.size).toBe(1);
    counts['abc'.indexOf([...letters][0]!)]!++;
    for (const [i, weight] of weights.entries()) expect(Math.abs(counts[i]! - weight * n)).toBeLessThan(1.5);
  }
  expect(counts).toEqual([320, 60, 20]);
});

test('documents are numbered through all parts', async () => {
  const rows = mixture([1, 1]);
  const { documents, ids } = (await rows.next(20))!;
  for (let i = 0; i < ids.length; i++) {
    const { text } = await rows.documents.get(documents[i]!);
    if (ids[i] !== 1) expect(text).toContain(String.fromCharCode(ids[i]!));
  }
  await expect(rows.documents.get(10)).rejects.toThrow('mixture: document 10 of 10');
});

test('a cursor taken anywhere continues with the same rows', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 }),
      fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 6 }),
      async (weights, reads) => {
        const whole = mixture(weights);
        for (const n of reads) await whole.next(n);
        const cursor = JSON.parse(JSON.stringify(whole.cursor())) as DataCursor;
        const continued = mixture(weights, cursor);
        expect(await continued.next(7)).toEqual(await whole.next(7));
        expect(continued.cursor()).toEqual(whole.cursor());
      },
    ),
    { numRuns: 50 },
  );
});

test('a cursor of another mixture is refused', async () => {
  const rows = mixture([1, 2]);
  await rows.next(3);
  expect(() => mixture([2, 1], rows.cursor())).toThrow(/another mixture.*same files and weights/);
});
