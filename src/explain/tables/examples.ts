/**
 * Places worth reading, of one latent. A passage is a document within one packed row; its peak is where the latent is largest there.
 *
 *     top        the 20 passages with the largest peaks
 *     decile     one passage of every tenth of the peaks, drawn: how strong is it, passage by passage?
 *     interval   one token of every tenth of the range, i/10 < z / max <= (i + 1)/10, drawn: what does it fire on when it is half on?
 *     random     10 of all tokens that it fires on, drawn
 *     near_miss  6 tokens equal to one of its commonest, where it does not fire, each from another document where that is possible
 *
 * Drawn: those with the smallest hash of their place and the latent, so that the order of reading does not matter.
 */
import { mix32 } from '../types.ts';
import type { Entries } from './latent.ts';

export const TOP = 20;
export const RANDOM = 10;
export const NEAR_MISSES = 6;
const COMMON_TOKENS = 3;
/** Places looked at for each near miss that is wanted. */
const TRIES = 64;

/** Equal parts of (0, max]. */
const INTERVALS = 10;

export type ExampleKind = 'top' | 'decile' | 'interval' | 'random' | 'near_miss';
export type Example = {
  readonly kind: ExampleKind;
  readonly rank: number;
  readonly value: number;
  readonly at: number;
};

/** The whole text, by place. */
export type TextTokens = {
  readonly T: number;
  readonly ids: Int32Array;
  readonly documents: Int32Array;
  /** 1 where a token counts. */
  readonly measured: Uint8Array;
  /** Places of a token id that count, ascending. */
  placesOf(id: number): Int32Array;
};

/** Makes the list of places by token id, once for all latents. */
export function indexTokens(
  T: number,
  ids: Int32Array,
  documents: Int32Array,
  measured: Uint8Array,
): TextTokens {
  let V = 0;
  for (const id of ids) if (id >= V) V = id + 1;
  const starts = new Int32Array(V + 1);
  for (let at = 0; at < ids.length; at++) if (measured[at]) starts[ids[at]! + 1]!++;
  for (let id = 0; id < V; id++) starts[id + 1]! += starts[id]!;
  const places = new Int32Array(starts[V]!);
  const next = starts.slice();
  for (let at = 0; at < ids.length; at++) if (measured[at]) places[next[ids[at]!]!++] = at;
  return {
    T,
    ids,
    documents,
    measured,
    placesOf: (id) => places.subarray(starts[id] ?? 0, starts[id + 1] ?? 0),
  };
}

/** The peak of every passage, as places into the entries, in text order. */
export function peaksOf(
  { at, values }: Entries,
  { T, documents }: Pick<TextTokens, 'T' | 'documents'>,
): number[] {
  const peaks: number[] = [];
  let passage = -1;
  for (let i = 0; i < at.length; i++) {
    const here = Math.floor(at[i]! / T) * 2 ** 32 + documents[at[i]!]!;
    if (here !== passage) {
      peaks.push(i);
      passage = here;
    } else if (values[i]! > values[peaks.at(-1)!]!) peaks[peaks.length - 1] = i;
  }
  return peaks;
}

/** The examples of one latent, by kind and rank. */
export function examplesOf(latent: number, entries: Entries, text: TextTokens, seed = 0): Example[] {
  const { at, values } = entries;
  const example = (kind: ExampleKind, rank: number, i: number): Example => ({
    kind,
    rank,
    value: values[i]!,
    at: at[i]!,
  });
  const hash = (place: number): number => mix32(place, seed ^ Math.imul(latent + 1, 0x9e3779b1));
  const peaks = peaksOf(entries, text).sort((a, b) => values[b]! - values[a]! || at[a]! - at[b]!);
  const top = peaks.slice(0, TOP).map((i, rank) => example('top', rank, i));
  const deciles = Array.from({ length: 10 }, (_, d) => {
    // Peaks fall: the strongest tenth comes first.
    const part = peaks.slice(
      Math.floor(((9 - d) * peaks.length) / 10),
      Math.floor(((10 - d) * peaks.length) / 10),
    );
    return drawn(part, 1, (i) => hash(at[i]!)).map((i) => example('decile', d, i));
  }).flat();
  const all = smallestHashes(at.length, RANDOM, (i) => hash(at[i]! ^ 0x5bd1e995));
  const random = all.map((i, rank) => example('random', rank, i));
  const intervals = drawnByInterval(values, values[peaks[0]!]!, (i) => hash(at[i]! ^ 0x2545f491)).flatMap(
    (i, part) => (i === undefined ? [] : [example('interval', part, i)]),
  );
  return [...top, ...deciles, ...intervals, ...random, ...nearMisses(entries, text, hash)];
}

function nearMisses({ at }: Entries, text: TextTokens, hash: (place: number) => number): Example[] {
  const counts = new Map<number, number>();
  for (const place of at) counts.set(text.ids[place]!, (counts.get(text.ids[place]!) ?? 0) + 1);
  const common = [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, COMMON_TOKENS);
  const found: number[] = [];
  const documents = new Set<number>();
  for (const [c, [id]] of common.entries()) {
    const places = text.placesOf(id);
    const wanted = Math.ceil(((c + 1) * NEAR_MISSES) / common.length);
    const start = hash(id) % places.length;
    // A step that has no factor in common with the number of places would visit all; a fixed share of them is enough.
    const step = Math.max(1, Math.floor(places.length / (TRIES * NEAR_MISSES)));
    for (const other of [true, false])
      for (let n = 0; n < Math.min(places.length, TRIES * NEAR_MISSES) && found.length < wanted; n++) {
        const place = places[(start + n * step) % places.length]!;
        if (fires(at, place) || found.includes(place)) continue;
        if (other && documents.has(text.documents[place]!)) continue;
        found.push(place);
        documents.add(text.documents[place]!);
      }
  }
  return found.map((place, rank) => ({ kind: 'near_miss', rank, value: 0, at: place }));
}

/** Binary search. */
function fires(at: Int32Array, place: number): boolean {
  let [low, high] = [0, at.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (at[middle]! < place) low = middle + 1;
    else high = middle;
  }
  return at[low] === place;
}

function drawn(from: readonly number[], count: number, hash: (i: number) => number): number[] {
  return [...from].sort((a, b) => hash(a) - hash(b)).slice(0, count);
}

/** Of every tenth of (0, max] the activation with the smallest hash; undefined where there is none. */
function drawnByInterval(
  values: Float32Array,
  max: number,
  hash: (i: number) => number,
): (number | undefined)[] {
  const chosen = new Array<number | undefined>(INTERVALS).fill(undefined);
  const least = new Float64Array(INTERVALS).fill(Infinity);
  for (let i = 0; i < values.length; i++) {
    const part = Math.min(INTERVALS, Math.ceil((values[i]! / max) * INTERVALS)) - 1;
    const h = hash(i);
    if (h >= least[part]!) continue;
    least[part] = h;
    chosen[part] = i;
  }
  return chosen;
}

/** Of 0..n−1 the `count` with the smallest hashes, in that order: one pass. */
function smallestHashes(n: number, count: number, hash: (i: number) => number): number[] {
  const kept: [hash: number, i: number][] = [];
  for (let i = 0; i < n; i++) {
    const h = hash(i);
    if (kept.length === count && h >= kept[count - 1]![0]) continue;
    let place = kept.length;
    while (place > 0 && kept[place - 1]![0] > h) place--;
    kept.splice(place, 0, [h, i]);
    kept.length = Math.min(kept.length, count);
  }
  return kept.map(([, i]) => i);
}
