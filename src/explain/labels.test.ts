import { describe, expect, it } from 'vitest';
import { memoryDocuments } from '../data/index.ts';
import type { PackedRows } from '../data/types.ts';
import { tokenTruth } from '../demo/concepts.ts';
import { tokenTexts } from './display.ts';
import { combineLabellers, conceptLabeller, registerLabeller, type TokenTruth } from './labels.ts';

const documents = memoryDocuments([
  { id: 'a', text: 'in May 2020', meta: {}, register: 'dates' },
  { id: 'b', text: 'Привет', meta: {}, register: 'russian' },
  { id: 'c', text: 'no register', meta: {} },
]);

/** One row: BOS, "in", " May", " 2020", BOS, then six letters over two tokens each stretch as byte-level vocabularies give them, padding. */
const packed: PackedRows = {
  R: 1,
  T: 10,
  ids: Int32Array.from([0, 1, 2, 3, 0, 4, 5, 6, 7, 0]),
  mask: Uint8Array.from([1, 1, 1, 1, 1, 1, 1, 1, 1, 0]),
  documents: Int32Array.from([0, 0, 0, 0, 1, 1, 1, 1, 2, -1]),
  starts: Int32Array.from([0, 0, 2, 6, 0, 0, 0, 1, 0, -1]),
  ends: Int32Array.from([0, 2, 6, 11, 0, 1, 1, 6, 2, -1]),
};

describe('labellers', () => {
  it('give every token the register of its document', async () => {
    const labeller = await registerLabeller(documents);
    expect(labeller.labels.map(({ name }) => name)).toEqual(['dates', 'russian']);
    const at = await labeller.label(packed);
    expect([0, 1, 4, 7, 8, 9].map((i) => [...at(i)])).toEqual([[0], [0], [1], [1], [], []]);
  });

  it('give a token the concepts it shares a character with, and none to BOS and padding', async () => {
    const dates = conceptLabeller(documents, ['month', 'year', 'date'], ({ text }) => {
      const start = text.indexOf('May');
      if (start < 0) return [];
      return [
        { start: start + 4, end: start + 8, concept: 'year' },
        { start, end: start + 3, concept: 'month' },
        { start, end: start + 8, concept: 'date' },
      ];
    });
    const at = await combineLabellers([await registerLabeller(documents), dates]).label(packed);
    // " May" touches month and date; " 2020" year and date; registers come first.
    expect([0, 1, 2, 3, 5, 9].map((i) => at(i))).toEqual([[0], [0], [0, 2, 4], [0, 3, 4], [1], []]);
  });

  it("take the demo suite's rule for tokens: at least half of the characters", async () => {
    const text = 'on 2021-03-04 and later';
    const set = memoryDocuments([{ id: 'a', text, meta: {} }]);
    const rows = {
      ...packed,
      T: 5,
      ids: new Int32Array(5),
      mask: new Uint8Array(5).fill(1),
      documents: new Int32Array(5),
      // BOS, "on", " 2021-", "03-04", " and later" of which the date holds a part below
      starts: Int32Array.from([0, 0, 2, 8, 13]),
      ends: Int32Array.from([0, 2, 8, 13, 23]),
    };
    const truth = () => [{ start: 3, end: 16, concept: 'date' }];
    const of = async (...rule: [TokenTruth?]) => {
      const at = await conceptLabeller(set, ['date'], truth, ...rule).label(rows);
      return [0, 1, 2, 3, 4].map((i) => at(i).length);
    };
    expect(await of()).toEqual([0, 0, 1, 1, 1]);
    expect(await of(tokenTruth)).toEqual([0, 0, 1, 1, 0]);
  });

  it('say what is missing', async () => {
    const labeller = conceptLabeller(documents, ['x'], () => [{ start: 0, end: 1, concept: 'y' }]);
    await expect(labeller.label(packed)).rejects.toThrow('"y"');
    const fine = conceptLabeller(documents, ['x'], () => []);
    await expect(fine.label({ ...packed, starts: new Int32Array(10).fill(-1) })).rejects.toThrow(
      'offsets: true',
    );
  });
});

describe('token texts', () => {
  const strings = (ids: readonly number[]) => ids.map((id) => `<${id}>`);
  it('show a split character once, and tokens without text by the tokenizer', async () => {
    expect(await tokenTexts(packed, [0, 9], 1, strings, documents)).toEqual([
      ...['<0>', 'in', ' May', ' 2020', '<0>', 'П', '', 'ривет', 'no'],
    ]);
    expect((await tokenTexts(packed, [5, 8], 6, strings, documents)).join('|')).toBe('|П|ривет');
    expect((await tokenTexts(packed, [6, 8], 6, strings, documents)).join('|')).toBe('П|ривет');
    expect(await tokenTexts(packed, [1, 3], 1, strings)).toEqual(['<1>', '<2>']);
  });
});
