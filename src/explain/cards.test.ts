import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { memoryDocuments } from '../data/index.ts';
import type { PackedRows } from '../data/types.ts';
import { featureCardSchema } from '../shared/feature.ts';
import { createRng } from '../shared/rng.ts';
import { buildCards } from './cards.ts';
import { createFeatureIndex, type FeatureIndex } from './feature-index.ts';
import { chooseInteresting, chooseRandom, ranks } from './interestingness.ts';
import { registerLabeller } from './labels.ts';
import type { IndexedRows, Unembed } from './types.ts';

/**
 * A planted world. Token ids 1..20 are lower-case words of "prose", 21..40 of "code"; id 0 is BOS. Latents:
 *   0 fires on every token of code, with changing strength     1 fires on token 5 alone (rarely)
 *   2 fires on one token in three hundred, whatever it is      3 fires on every token (too dense)
 *   4 is dead                                                  5 fires as 0 does, half as strongly, with the same direction
 */
const F = 6;
const D = 4;
const K = 4;
const T = 50;
const rng = createRng('world');
const documentCount = 160;
const isCode = (d: number) => d % 40 === 7;
const length = (d: number) => 20 + ((d * 7) % 30);
const words = (d: number) =>
  Array.from({ length: length(d) }, () => (isCode(d) ? 21 + rng.int(20) : 1 + rng.int(20)));
const contents = Array.from({ length: documentCount }, (_, d) => words(d));
const documents = memoryDocuments(
  contents.map((ids, d) => ({
    id: String(d),
    text: ids.map((id) => `w${id} `).join(''),
    meta: {},
    register: isCode(d) ? 'code' : 'prose',
  })),
);
const strength = (id: number, document: number, place: number) =>
  1 + (((id * 31 + document * 17 + place * 7) % 100) / 100) * 5;

function activation(latent: number, id: number, document: number, place: number): number {
  const value = strength(id, document, place);
  if (latent === 0) return id > 20 ? value : 0;
  if (latent === 1) return id === 5 && document % 8 === 0 ? value : 0;
  if (latent === 2) return (document * 53 + place * 101) % 300 === 0 ? value : 0;
  if (latent === 3) return 0.1;
  if (latent === 5) return id > 20 ? value / 2 : 0;
  return 0;
}

/** Packs documents one after the other into rows of T, each document after a BOS, as src/data does. */
function pack(): PackedRows[] {
  const flat: { id: number; document: number; place: number; start: number; end: number }[] = [];
  for (const [document, ids] of contents.entries()) {
    flat.push({ id: 0, document, place: -1, start: 0, end: 0 });
    let at = 0;
    for (const [place, id] of ids.entries()) {
      const end = at + `w${id} `.length;
      flat.push({ id, document, place, start: at, end });
      at = end;
    }
  }
  const rows = Math.ceil(flat.length / T);
  const whole = (pick: (entry: (typeof flat)[number]) => number, empty: number) =>
    Int32Array.from({ length: rows * T }, (_, i) => (flat[i] === undefined ? empty : pick(flat[i])));
  const all = {
    ids: whole((e) => e.id, 0),
    documents: whole((e) => e.document, -1),
    starts: whole((e) => e.start, -1),
    ends: whole((e) => e.end, -1),
  };
  const batches: PackedRows[] = [];
  for (let from = 0; from < rows; from += 7) {
    const R = Math.min(7, rows - from);
    const cut = (a: Int32Array) => a.slice(from * T, (from + R) * T);
    const mask = Uint8Array.from(cut(all.documents), (d) => (d < 0 ? 0 : 1));
    batches.push({
      R,
      T,
      mask,
      ids: cut(all.ids),
      documents: cut(all.documents),
      starts: cut(all.starts),
      ends: cut(all.ends),
    });
  }
  return batches;
}

/** The "model and SAE": codes are the planted activations, found again from the offsets. `order` renames latents. */
function read(packed: PackedRows, order = [0, 1, 2, 3, 4, 5]): IndexedRows {
  const positions = Int32Array.from(
    [...packed.ids.keys()].filter((i) => packed.mask[i] === 1 && packed.ids[i] !== 0),
  );
  const values = new Float32Array(positions.length * K);
  const indices = new Int32Array(positions.length * K);
  for (const [r, i] of positions.entries()) {
    const document = packed.documents[i]!;
    const place = contents[document]!.slice(0).findIndex(
      (_, p) => placeStart(document, p) === packed.starts[i],
    );
    const active = [...Array(F).keys()]
      .map((latent) => ({ latent, value: activation(latent, packed.ids[i]!, document, place) }))
      .filter(({ value }) => value > 0);
    for (const [k, { latent, value }] of active.entries()) {
      values[r * K + k] = value;
      indices[r * K + k] = order.indexOf(latent);
    }
  }
  return { packed, positions, code: { K, values, indices } };
}
const startsOf = contents.map((ids) => {
  let at = 0;
  return ids.map((id) => {
    const start = at;
    at += `w${id} `.length;
    return start;
  });
});
const placeStart = (document: number, place: number) => startsOf[document]![place]!;

const W_dec = Float32Array.from(
  [
    [1, 0, 0, 0],
    [0, 1, 0, 0],
    [0, 0, 1, 0],
    [0, 0, 0, 1],
    [1, 0, 0, 0],
    [1, 0, 0, 0],
  ].flat(),
);
/** Vocabulary of 41: a direction pushes token v by its product with (v, 1, -v, v mod 2) / 10. */
const unembed: Unembed = (directions, m) => {
  const logits = new Float32Array(m * 41);
  for (let i = 0; i < m; i++) {
    for (let v = 0; v < 41; v++) {
      const head = [v / 10, v === 5 ? 1 : 0, -v / 10, v % 2];
      logits[i * 41 + v] = head.reduce((sum, w, d) => sum + w * directions[i * D + d]!, 0);
    }
  }
  return logits;
};
const tokenStrings = (ids: readonly number[]) => ids.map((id) => (id === 0 ? '<s>' : `w${id}`));

async function indexWorld(order?: number[]): Promise<FeatureIndex> {
  const index = createFeatureIndex(F, { labeller: await registerLabeller(documents) });
  for (const packed of pack()) await index.add(read(packed, order));
  return index;
}
const index = await indexWorld();
const total = contents.reduce((sum, ids) => sum + ids.length, 0);
const codeTokens = contents.reduce((sum, ids, d) => sum + (isCode(d) ? ids.length : 0), 0);

describe('feature index', () => {
  it('counts tokens, firings and passages', () => {
    expect(index.rows).toBe(total);
    expect(index.firings(0)).toBe(codeTokens);
    expect(index.firings(3)).toBe(total);
    expect(index.firings(4)).toBe(0);
    // Four code documents; those over a row end are two passages.
    expect(index.passages(0)).toBeGreaterThanOrEqual(4);
    expect(index.passages(0)).toBeLessThanOrEqual(8);
  });

  it('knows the register of a latent, its rate and share, and the entropy of its peak token', () => {
    expect(index.best(0)).toMatchObject({ label: 'code', kind: 'register', f1: 1, threshold: 0 });
    expect(index.registers(0)[0]).toEqual({ name: 'code', rate: 1, share: 1 });
    expect(index.registers(3)[0]!.share).toBeCloseTo(1 - codeTokens / total, 10);
    expect(index.entropy(1)).toBe(0);
    expect(index.peakTokens(1)).toEqual([{ id: 5, share: 1 }]);
    expect(index.entropy(2)).toBeGreaterThan(1);
    expect(index.best(4)).toBeUndefined();
  });
});

describe('interestingness', () => {
  it('ranks from 0 to 1, equal values alike', () => {
    expect(ranks([3, 1, 3, 2])).toEqual([1, 0.25, 1, 0.5]);
  });

  it('leaves out what is dense or dead, sinks the single-token latent, and does not show one thing twice', async () => {
    const order = (await chooseInteresting(index, { W_dec, unembed })).map(({ latent }) => latent);
    expect(order).not.toContain(3);
    expect(order).not.toContain(4);
    expect(order[0]).toBe(0);
    // 5 is a copy of 0: its evidence is better than that of 2, its direction has been seen.
    expect(order.indexOf(2)).toBeLessThan(order.indexOf(5));
    const best = await chooseInteresting(index, { W_dec, unembed, count: 1 });
    expect(best).toHaveLength(1);
    expect(best[0]!.total).toBeLessThanOrEqual(1);
  });

  it('prefers another label to the same one in another direction', async () => {
    // 0 and 5 are both "code", now orthogonal: 2, with the lower score, comes between them only because of the label.
    const apart = W_dec.slice();
    apart.set([0, 0.5, 0, 0.5], 5 * D);
    const order = await chooseInteresting(index, { W_dec: apart, unembed });
    expect(order.map(({ latent }) => latent)).toEqual([0, 2, 5, 1]);
    expect(order[2]!.total).toBeGreaterThan(order[1]!.total);
  });

  it('follows the latents when they are renamed', async () => {
    const before = await chooseInteresting(index, { W_dec, unembed });
    await fc.assert(
      fc.asyncProperty(
        fc.shuffledSubarray([0, 1, 2, 3, 4, 5], { minLength: 6, maxLength: 6 }),
        async (order) => {
          const renamed = await indexWorld(order);
          const W = Float32Array.from(order.flatMap((f) => [...W_dec.subarray(f * D, (f + 1) * D)]));
          const after = await chooseInteresting(renamed, { W_dec: W, unembed });
          expect(after.map((s) => ({ ...s, latent: order[s.latent]! }))).toEqual(before);
        },
      ),
      { numRuns: 5 },
    );
  });

  it('draws a random sample of living latents, the same for a seed', () => {
    const drawn = chooseRandom(index, { count: 4, seed: 1 });
    expect(drawn).toEqual(chooseRandom(index, { count: 4, seed: 1 }));
    expect(new Set(drawn).size).toBe(4);
    expect(drawn).not.toContain(4);
    expect(chooseRandom(index, { count: 99 })).toHaveLength(5);
    const first = new Set(
      Array.from({ length: 60 }, (_, seed) => chooseRandom(index, { count: 1, seed })[0]),
    );
    expect([...first].sort()).toEqual([0, 1, 2, 3, 5]);
  });
});

describe('cards', () => {
  it('show passages of the document with the activations at every token', async () => {
    const options = {
      read: async (packed: PackedRows) => read(packed),
      tokenStrings,
      W_dec,
      unembed,
      documents,
    };
    const [card, dead] = await buildCards(index, [0, 4], options);
    expect(featureCardSchema.parse(card)).toEqual(card);
    expect(card).toMatchObject({ latent: 0, guess: 'code' });
    expect(card!.density).toBeCloseTo(codeTokens / total, 12);
    expect(card!.examples.filter(({ kind }) => kind === 'top').length).toBeGreaterThanOrEqual(4);
    const places = new Set<string>();
    for (const { left, peak, right, activations, value, document, register } of card!.examples) {
      expect(register).toBe('code');
      expect(left.length).toBeLessThanOrEqual(16);
      expect(right.length).toBeLessThanOrEqual(8);
      const tokens = [...left, peak, ...right];
      expect(tokens).not.toContain('<s>');
      const text = tokens.join('');
      const start = (await documents.get(document)).text.indexOf(text);
      expect(start).toBeGreaterThanOrEqual(0);
      places.add(`${document}:${start + left.join('').length}`);
      const first = startsOf[document]!.indexOf(start);
      expect(activations.length).toBe(tokens.length);
      for (const [i, v] of activations.entries()) {
        expect(v).toBeCloseTo(activation(0, contents[document]![first + i]!, document, first + i), 5);
      }
      expect(activations[left.length]).toBe(value);
      expect(Math.max(...activations)).toBe(value);
    }
    expect(places.size).toBe(card!.examples.length);
    expect(card!.raises.slice(0, 2).map(({ token, effect }) => [token, effect])).toEqual([
      ['w40', 4],
      ['w39', Math.fround(3.9)],
    ]);
    expect(card!.lowers[0]).toEqual({ token: '<s>', id: 0, effect: 0 });
    expect(dead).toMatchObject({ latent: 4, density: 0, examples: [], guess: 'never fired', passages: 0 });
  });

  it('guess tokens where no label fits, and carry the score of the choice', async () => {
    const chosen = await chooseInteresting(index, { W_dec, unembed });
    const cards = await buildCards(index, chosen, {
      read: async (packed) => read(packed),
      tokenStrings,
      W_dec,
      unembed,
    });
    expect(cards.map(({ latent }) => latent)).toEqual(chosen.map(({ latent }) => latent));
    const single = cards.find(({ latent }) => latent === 1)!;
    expect(single.guess).toBe('prose: "w5"');
    expect(single.score!.entropy).toBeLessThan(cards[0]!.score!.entropy);
    expect(single.examples[0]!.peak).toBe('w5');
    expect(single.label).toBeUndefined();
  });
});
