import type { UnitSums } from './statistics/bootstrap.ts';

/** Sums of C quantities per bootstrap unit, growing as units appear. */
export type UnitTable = {
  /** Place of the unit with this key (a document or sequence number); a new key is appended. */
  indexOf(key: number): number;
  /** Adds to column c of the unit at place u. */
  addAt(u: number, c: number, amount: number): void;
  /** A view of all units in order of appearance [U,C]; valid until the next unit. */
  sums(): UnitSums;
};

/** Starts an empty table with C columns. */
export function createUnitTable(C: number): UnitTable {
  const index = new Map<number, number>();
  let sums = new Float64Array(64 * C);

  function indexOf(key: number): number {
    let u = index.get(key);
    if (u === undefined) {
      u = index.size;
      index.set(key, u);
      if (index.size * C > sums.length) {
        const grown = new Float64Array(2 * sums.length);
        grown.set(sums);
        sums = grown;
      }
    }
    return u;
  }

  return {
    indexOf,
    addAt(u, c, amount) {
      sums[u * C + c]! += amount;
    },
    sums: () => ({ U: index.size, C, sums: sums.subarray(0, index.size * C) }),
  };
}
