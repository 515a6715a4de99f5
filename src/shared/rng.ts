/**
 * The one seeded random generator of the project: xoshiro128** (Blackman & Vigna, 2018), seeded by splitmix32.
 *
 *     state  s ∈ uint32⁴
 *     output rotl(s₁ · 5, 7) · 9
 *     update s₂ ^= s₀, s₃ ^= s₁, s₁ ^= s₂, s₀ ^= s₃, s₂ ^= (old s₁ << 9), s₃ = rotl(s₃, 11)
 *
 * Only 32-bit integer operations: the same seed gives the same stream in every browser and in Node.
 * Not here: cryptographic quality.
 */

/** Four unsigned 32-bit words: all there is to know about a generator. */
export type RngState = readonly [number, number, number, number];

/** A seeded generator; every method advances the same stream. */
export interface Rng {
  /** A uniform unsigned 32-bit integer. */
  u32(): number;
  /** A uniform number in [0, 1) with 53 random bits. */
  uniform(): number;
  /** A uniform integer in [0, n), without modulo bias; n from 1 to 2³². */
  int(n: number): number;
  /** A standard normal number (Box–Muller; two uniforms per call, nothing is kept between calls). */
  normal(): number;
  /** A uniformly chosen element of a non-empty array. */
  pick<T>(items: readonly T[]): T;
  /** The state, to be stored; `restore` continues from it. */
  state(): RngState;
  /** Continues from a stored state. */
  restore(state: RngState): void;
}

/** Mixes a string to 32 bits (FNV-1a over UTF-16 units), so that seeds can be readable names. */
function hashString(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** One step of splitmix32: a new counter and a well-mixed word of it. */
function splitmix32(counter: number): { counter: number; word: number } {
  const next = (counter + 0x9e3779b9) >>> 0;
  let word = next;
  word = Math.imul(word ^ (word >>> 16), 0x21f0aaad);
  word = Math.imul(word ^ (word >>> 15), 0x735a2d97);
  return { counter: next, word: (word ^ (word >>> 15)) >>> 0 };
}

/**
 * Creates a generator from a readable seed.
 *
 * @param seed a string, or a number (its low 32 bits and its higher part both count)
 * @example
 * const rng = createRng('chess/17');
 * rng.int(6); // always the same number for this seed
 */
export function createRng(seed: string | number): Rng {
  const s = new Uint32Array(4);
  let counter =
    typeof seed === 'string'
      ? hashString(seed)
      : ((seed >>> 0) ^ Math.imul(Math.floor(seed / 2 ** 32) >>> 0, 0x85ebca6b)) >>> 0;
  for (let i = 0; i < 4; i++) {
    const step = splitmix32(counter);
    counter = step.counter;
    s[i] = step.word;
  }

  function u32(): number {
    const [s0, s1, s2, s3] = s as unknown as [number, number, number, number];
    const product = Math.imul(s1, 5);
    const output = Math.imul((product << 7) | (product >>> 25), 9) >>> 0;
    const t2 = s2 ^ s0;
    const t3 = s3 ^ s1;
    s[1] = s1 ^ t2;
    s[0] = s0 ^ t3;
    s[2] = t2 ^ (s1 << 9);
    s[3] = (t3 << 11) | (t3 >>> 21);
    return output;
  }

  function uniform(): number {
    const high = u32() >>> 5;
    return (high * 67108864 + (u32() >>> 6)) / 9007199254740992;
  }

  function int(n: number): number {
    if (!Number.isInteger(n) || n < 1 || n > 2 ** 32)
      throw new RangeError(`int(n) needs an integer from 1 to 2^32, got ${n}`);
    const limit = 2 ** 32 - (2 ** 32 % n);
    let word = u32();
    while (word >= limit) word = u32();
    return word % n;
  }

  return {
    u32,
    uniform,
    int,
    normal: () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
    pick<T>(items: readonly T[]): T {
      if (items.length === 0) throw new RangeError('pick needs a non-empty array');
      return items[int(items.length)] as T;
    },
    state: () => [s[0] as number, s[1] as number, s[2] as number, s[3] as number],
    restore(state) {
      s.set(state);
    },
  };
}

/** A uniformly chosen order of 0 … n - 1 (Fisher–Yates). */
export function permutation(n: number, rng: Rng): Uint32Array {
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = rng.int(i + 1);
    const other = order[j] as number;
    order[j] = order[i] as number;
    order[i] = other;
  }
  return order;
}
