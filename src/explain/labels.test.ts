import { describe, expect, it } from 'vitest';
import { memoryDocuments } from '../data/index.ts';
import type { Document, PackedRows } from '../data/types.ts';
import { tokenTruth } from '../demo/concepts.ts';
import { tokenTexts } from './display.ts';
import { combineLabellers, conceptLabeller, registerLabeller } from './labels.ts';

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

  /** A token has a concept where it shares a character with a range. */
  const touches = (
    _text: string,
    ranges: readonly (readonly [number, number])[],
    offsets: readonly (readonly [number, number])[],
  ) =>
    Uint8Array.from(offsets, ([start, end]) =>
      ranges.some(([from, to]) => start < to && from < end && start < end) ? 1 : 0,
    );

  it('give a token the concepts its characters have, and none to BOS and padding', async () => {
    const dates = conceptLabeller(
      documents,
      (
        [
          ['month', 0, 3],
          ['year', 4, 8],
          ['date', 0, 8],
        ] as const
      ).map(([name, from, to]) => ({
        name,
        truth: ({ text }) =>
          text.includes('May') ? [[text.indexOf('May') + from, text.indexOf('May') + to] as const] : [],
      })),
      touches,
    );
    const at = await combineLabellers([await registerLabeller(documents), dates]).label(packed);
    // " May" touches month and date; " 2020" year and date; registers come first.
    expect([0, 1, 2, 3, 5, 9].map((i) => at(i))).toEqual([[0], [0], [0, 2, 4], [0, 3, 4], [1], []]);
  });

  it('agree with the suite of the demo, span by span', async () => {
    const text = 'on 2021-03-04 and later';
    const set = memoryDocuments([
      { id: 'a', text, meta: {}, register: 'dates', spans: [{ start: 3, end: 13, label: 'date' }] },
    ]);
    const spans = {
      name: 'date',
      truth: (d: Document) => (d.spans ?? []).map(({ start, end }) => [start, end] as const),
    };
    const at = await conceptLabeller(set, [spans], tokenTruth).label({
      ...packed,
      T: 5,
      ids: new Int32Array(5),
      mask: new Uint8Array(5).fill(1),
      documents: new Int32Array(5),
      starts: Int32Array.from([0, 0, 2, 8, 13]),
      ends: Int32Array.from([0, 2, 8, 13, 17]),
    });
    expect([0, 1, 2, 3, 4].map((i) => at(i))).toEqual([[], [], [0], [0], []]);
  });

  it('say what is missing', async () => {
    const labeller = conceptLabeller(documents, [], touches);
    await expect(labeller.label({ ...packed, starts: new Int32Array(10).fill(-1) })).rejects.toThrow(
      'offsets: true',
    );
  });
});

describe('token texts', () => {
  const strings = (ids: readonly number[]) => ids.map((id) => `<${id}>`);
  it('show a split character once, and tokens without text by the tokenizer', async () => {
    expect(await tokenTexts(packed, [0, 9], strings, documents)).toEqual([
      ...['<0>', 'in', ' May', ' 2020', '<0>', 'П', '', 'ривет', 'no'],
    ]);
    expect(await tokenTexts(packed, [1, 3], strings)).toEqual(['<1>', '<2>']);
  });
});
