import type { PackedRows } from '../data/types.ts';

/** Rows of one batch with their sparse code; what src/eval hands to observers. */
export type IndexedRows = {
  readonly packed: PackedRows;
  /** Flat positions (sequence * T + position) of the rows [N], ascending. */
  readonly positions: Int32Array;
  readonly code:
    | { readonly K: number; readonly values: Float32Array; readonly indices: Int32Array }
    | undefined;
};

/** Token-level truth about held-out text. */
export type Labeller = {
  readonly labels: readonly { readonly name: string; readonly kind: 'register' | 'concept' }[];
  /** Labels (places in `labels`, ascending) of every position of a batch. */
  label(packed: PackedRows): Promise<(position: number) => readonly number[]>;
};

/** Logits that directions [m,D] push: [m,V]. See createUnembed. */
export type Unembed = (
  directions: Float32Array,
  m: number,
  options?: { readonly signal?: AbortSignal },
) => Promise<Float32Array> | Float32Array;

/** A well mixed 32-bit hash of an integer and a seed (murmur3's finaliser): sampling that does not depend on order. */
export function mix32(value: number, seed: number): number {
  let h = (value ^ Math.imul(seed, 0x9e3779b1)) >>> 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
