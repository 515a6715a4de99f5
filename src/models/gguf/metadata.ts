/** Typed look-ups in a GGUF file's metadata; every message names the key. */
import type { Gguf, GgufValue } from '../../formats/index.ts';

export type Metadata = ReturnType<typeof metadataOf>;

/** The shortest decimal that is the same float32: 1e-5 instead of 0.000009999999747378752. */
function shortest(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const candidate = Number(value.toPrecision(digits));
    if (Math.fround(candidate) === Math.fround(value)) return candidate;
  }
  return value;
}

export function metadataOf({ metadata }: Gguf) {
  const wrong = (key: string, expected: string): never => {
    const value = metadata.get(key);
    const found =
      value === undefined
        ? 'missing'
        : JSON.stringify(value, (_, v) => (typeof v === 'bigint' ? String(v) : v));
    throw new Error(`${key} is ${found.slice(0, 100)}, expected ${expected}`);
  };
  /** A whole number, not negative; throws when it is missing and there is no fallback. */
  function count<F = never>(key: string, ...fallback: [F?]): number | F {
    const value = metadata.get(key);
    if (value === undefined && fallback.length > 0) return fallback[0] as F;
    // Files from before may give one number per layer; where all are equal it is one number.
    const one = Array.isArray(value) && value.every((item) => item === value[0]) ? value[0] : value;
    return Number.isSafeInteger(one) && one >= 0 ? one : wrong(key, 'a whole number');
  }
  return {
    keys: (): readonly string[] => [...metadata.keys()],
    count,
    real(key: string): number | undefined {
      const value = metadata.get(key);
      if (value === undefined) return undefined;
      return typeof value === 'number' && Number.isFinite(value) ? shortest(value) : wrong(key, 'a number');
    },
    flag(key: string): boolean | undefined {
      const value = metadata.get(key);
      if (value === undefined) return undefined;
      return typeof value === 'boolean' ? value : wrong(key, 'true or false');
    },
    /** A list of true and false; undefined when it is something else. */
    flags(key: string): readonly boolean[] | undefined {
      const value = metadata.get(key);
      const isFlags = Array.isArray(value) && value.every((item) => typeof item === 'boolean');
      return isFlags ? (value as boolean[]) : undefined;
    },
    text(key: string): string | undefined {
      const value = metadata.get(key);
      if (value === undefined) return undefined;
      return typeof value === 'string' ? value : wrong(key, 'a text');
    },
    /** A token id: an index into the vocabulary, or absent. */
    id(key: string): number | undefined {
      const value = metadata.get(key);
      if (value === undefined) return undefined;
      return Number.isSafeInteger(value) && (value as number) >= 0
        ? (value as number)
        : wrong(key, 'a token id');
    },
    /** A list whose items are all texts or all numbers. */
    list<T extends 'string' | 'number'>(
      key: string,
      type: T,
    ): readonly (T extends 'string' ? string : number)[] | undefined {
      const value = metadata.get(key) as GgufValue | undefined;
      if (value === undefined) return undefined;
      if (Array.isArray(value) && value.every((item) => typeof item === type)) return value as never;
      return wrong(key, `a list of ${type}s`);
    },
  };
}
