import { describe, expect, it } from 'vitest';
import type { PackedRows } from '../data/index.ts';
import type { Model, Tokenizer } from '../models/types.ts';
import type { SparseCode } from '../sae/types.ts';
import { createSnippetProbe } from './snippets.ts';

// Two rows of six tokens; every token its own document but for the pairs of a row.
const T = 6;
const texts = [
  '<s>',
  ' on',
  ' the',
  ' 4th',
  ' of',
  ' March',
  '<s>',
  'der',
  ' Tag',
  ' war',
  ' \ufffd',
  '\ufffd',
];
const packed: PackedRows = {
  R: 2,
  T,
  ids: Int32Array.from(texts.keys()),
  mask: new Uint8Array(2 * T).fill(1),
  documents: Int32Array.from({ length: 2 * T }, (_, i) => Math.floor(i / T)),
  starts: new Int32Array(2 * T),
  ends: new Int32Array(2 * T),
};
const tokenizer = {
  tokenStrings: (ids: readonly number[]) => ids.map((id) => texts[id] as string),
  // Tokens 10 and 11 are the two halves of one character.
  decode: (ids: readonly number[]) =>
    ids
      .map((id) => texts[id])
      .join('')
      .replace('\ufffd\ufffd', 'ü'),
} as Tokenizer;
const model = {
  tokenizer,
  run: async () => ({
    cache: { hook: { data: new Float32Array(2 * T), dims: [2, T, 1] } },
    logits: undefined,
  }),
} as unknown as Model;

/** Rows are positions without the first of each sequence: 0..4 of row one, 5..9 of row two. */
function code(firings: readonly (readonly [row: number, latent: number, value: number])[]): SparseCode {
  const K = 3;
  const values = new Float32Array(10 * K);
  const indices = new Int32Array(10 * K);
  const used = new Array<number>(10).fill(0);
  for (const [row, latent, value] of firings) {
    const slot = row * K + (used[row] as number);
    used[row] = (used[row] as number) + 1;
    values[slot] = value;
    indices[slot] = latent;
  }
  return { B: 10, K, values, indices };
}
const fires = (latent: number, rows: readonly number[], peak: number) =>
  rows.map((row) => [row, latent, row === peak ? 5 : 1] as const);

describe('snippets', () => {
  it('shows each latent at its peak, with the activations around it', async () => {
    const probe = await createSnippetProbe(model, 'hook', packed, 2);
    const [first] = await probe.look(async () => code(fires(7, [1, 2, 3, 4], 2)));
    expect(first).toMatchObject({ latent: 7, density: 0.4, maximum: 5, peak: 3 });
    expect(first?.tokens).toEqual(texts.slice(0, 6));
    expect(first?.activations).toEqual([0, 0, 1, 5, 1, 1]);
  });

  it('follows the same latents, one per document, and replaces those that die', async () => {
    const probe = await createSnippetProbe(model, 'hook', packed, 2);
    const latents = async (firings: Parameters<typeof code>[0]): Promise<number[]> =>
      (await probe.look(async () => code(firings))).map(({ latent }) => latent);
    const start = [...fires(1, [0, 1, 2, 3], 0), ...fires(2, [1, 2, 3, 4], 4), ...fires(3, [5, 6, 7, 8], 6)];
    // 1 and 2 peak in the same document: only the first of them is taken.
    expect(await latents(start)).toEqual([1, 3]);
    // 2 is now stronger, but the ones that are followed stay.
    expect(await latents([...start, ...fires(2, [0, 5], 0)])).toEqual([1, 3]);
    expect(await latents([...fires(2, [1, 2, 3, 4], 4), ...fires(3, [5, 6, 7, 8], 6)])).toEqual([3, 2]);
  });

  it('joins the tokens of a split character at the peak', async () => {
    const probe = await createSnippetProbe(model, 'hook', packed, 1);
    const [one] = await probe.look(async () => code(fires(4, [6, 7, 8, 9], 9)));
    expect(one?.tokens.slice(-2)).toEqual(['', ' ü']);
  });

  it('shows nothing when nothing fires', async () => {
    const probe = await createSnippetProbe(model, 'hook', packed, 3);
    expect(await probe.look(async () => code([]))).toEqual([]);
  });
});
