/**
 * Near-duplicates of held-out documents among training documents.
 *
 *     S(d)      = the 5-word sequences of d, words lower-cased, punctuation dropped (a shorter text is one sequence)
 *     J(d, d')  = |S(d) and S(d')| / |S(d) or S(d')|;   near-duplicate: J >= 0.7
 *     keys(d)   = MinHash of S(d) in 64 bins by one hash (one-permutation hashing, Li, Owen, Zhang 2012), in 16 bands of 4
 *
 * A pair that shares a band is a candidate (probability 1 - (1 - J^4)^16: 99 % at J = 0.7, 2 % at 0.2) and is then compared exactly, so
 * what is removed is certain; about one pair in a hundred at the threshold is missed. Threshold and sizes are choices of this project.
 */

/** Share of equal 5-word sequences from which a training document is left out. */
const NEAR_DUPLICATE = 0.7;
const WORDS = 5;
const BINS = 64;
const BANDS = 16;
/** Documents with fewer sequences are compared by their hash only: five equal words prove nothing. */
const MIN_SHINGLES = 8;

const word = /[\p{L}\p{N}]+/gu;

/** Hashes of the 5-word sequences of a text, 32 bits each. */
export function shingles(text: string): Set<number> {
  const hashes: number[] = [];
  for (const [match] of text.toLowerCase().matchAll(word)) {
    let h = 0x811c9dc5;
    for (let i = 0; i < match.length; i++) h = Math.imul(h ^ match.charCodeAt(i), 0x01000193);
    hashes.push(h);
  }
  const out = new Set<number>();
  for (let i = 0; i === 0 || i + WORDS <= hashes.length; i++) {
    let h = 0;
    for (const part of hashes.slice(i, i + WORDS)) h = mix(Math.imul(h, 31) + part);
    out.add(h);
  }
  return out;
}

/** Exact Jaccard similarity. */
export function jaccard(a: ReadonlySet<number>, b: ReadonlySet<number>): number {
  const [small, large] = a.size < b.size ? [a, b] : [b, a];
  let both = 0;
  for (const s of small) if (large.has(s)) both++;
  return both / (a.size + b.size - both);
}

/** The 16 band keys of a document; undefined when it is too short to compare. */
export function bandKeys(text: string): Uint32Array | undefined {
  const set = shingles(text);
  if (set.size < MIN_SHINGLES) return undefined;
  const bins = new Uint32Array(BINS).fill(0xffffffff);
  for (const s of set) {
    const bin = (s >>> 0) % BINS;
    const value = mix(s ^ 0x5bd1e995) >>> 0;
    if (value < bins[bin]!) bins[bin] = value;
  }
  // An empty bin takes the next full one's value, moved by the distance (Shrivastava and Li 2014).
  const full = bins.slice();
  for (let i = 0; i < BINS; i++)
    for (let step = 1; full[i] === 0xffffffff; step++) {
      const next = bins[(i + step) % BINS]!;
      if (next !== 0xffffffff) full[i] = mix(next + step * 0x9e3779b9) >>> 0;
    }
  const keys = new Uint32Array(BANDS);
  const rows = BINS / BANDS;
  for (let band = 0; band < BANDS; band++) {
    let h = band;
    for (let r = 0; r < rows; r++) h = mix(Math.imul(h, 31) + full[band * rows + r]!);
    keys[band] = h >>> 0;
  }
  return keys;
}

/** Band keys of held-out documents, to look up training documents in. */
export function createNearIndex(): {
  add(document: number, keys: Uint32Array): void;
  /** Documents that share a band. */
  candidates(keys: Uint32Array): Set<number>;
} {
  const bands = Array.from({ length: BANDS }, () => new Map<number, number[]>());
  return {
    add(document, keys) {
      for (const [band, key] of keys.entries()) {
        const list = bands[band]!.get(key);
        if (list) list.push(document);
        else bands[band]!.set(key, [document]);
      }
    },
    candidates(keys) {
      const found = new Set<number>();
      for (const [band, key] of keys.entries())
        for (const document of bands[band]!.get(key) ?? []) found.add(document);
      return found;
    },
  };
}

/** Held-out documents, to find the training documents that are nearly the same as one of them. */
export function createLeakFilter(): {
  add(keys: Uint32Array | undefined, text: () => Promise<string>): void;
  /** Whether a document is a near-duplicate; its text is asked for only when its keys make it a candidate. */
  has(keys: Uint32Array | undefined, text: () => Promise<string>): Promise<boolean>;
} {
  const index = createNearIndex();
  const texts: (() => Promise<string>)[] = [];
  return {
    add(keys, text) {
      if (keys) index.add(texts.push(text) - 1, keys);
    },
    async has(keys, text) {
      const candidates = keys ? index.candidates(keys) : new Set<number>();
      if (candidates.size === 0) return false;
      const mine = shingles(await text());
      for (const other of candidates)
        if (jaccard(mine, shingles(await texts[other]!())) >= NEAR_DUPLICATE) return true;
      return false;
    },
  };
}

/** Band keys of every document in a typed array that grows: 64 bytes each, all zero for documents too short to compare. */
export function createKeyList(): { push(text: string): void; at(i: number): Uint32Array | undefined } {
  let keys = new Uint32Array(1024 * BANDS);
  let count = 0;
  return {
    push(text) {
      if ((count + 1) * BANDS > keys.length) {
        const grown = new Uint32Array(keys.length * 2);
        grown.set(keys);
        keys = grown;
      }
      const own = bandKeys(text);
      if (own) keys.set(own, count * BANDS);
      count++;
    },
    at(i) {
      const own = keys.subarray(i * BANDS, (i + 1) * BANDS);
      return own.every((key) => key === 0) ? undefined : own;
    },
  };
}

/** Finalizer of MurmurHash3: every input bit moves every output bit. */
function mix(value: number): number {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
