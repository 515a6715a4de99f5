/**
 * Keys and values of the tokens so far, at fixed places: slot s of a row is its token s.
 *
 *     keys [B,kvHeads,d,C], values [B,kvHeads,C,d] per layer        C slots, a multiple of BLOCK, at least the longest row
 *
 * The engine reads them where they lie. A step adds one column and one row per head; nothing is moved but when C grows or a row of the
 * batch is dropped.
 */
import type { Ort } from '../../platform/index.ts';
import type { TransformerSpec } from '../families/spec.ts';
import type { Feeds } from '../sessions.ts';
import { cacheNames } from './cached-graph.ts';

/** Slots are added in blocks: a short text does not pay for the whole context, a long one grows seldom. */
const BLOCK = 64;

export function createKvCache(
  { layers, kvHeads, headDim: d }: Pick<TransformerSpec, 'layers' | 'kvHeads' | 'headDim'>,
  rows: number,
  { Tensor }: Ort,
) {
  let lengths = new Array<number>(rows).fill(0);
  let C = 0;
  let store = Array.from({ length: layers }, () => ({
    keys: new Float32Array(0),
    values: new Float32Array(0),
  }));
  let feeds: Feeds | undefined;

  /** Room for `slots` tokens in every row. */
  function reserve(slots: number): void {
    if (slots <= C) return;
    const grown = Math.ceil(slots / BLOCK) * BLOCK;
    const lines = lengths.length * kvHeads;
    store = store.map(({ keys, values }) => {
      const more = { keys: new Float32Array(lines * d * grown), values: new Float32Array(lines * grown * d) };
      for (let i = 0; i < lines * d && C > 0; i++)
        more.keys.set(keys.subarray(i * C, (i + 1) * C), i * grown);
      for (let i = 0; i < lines && C > 0; i++)
        more.values.set(values.subarray(i * C * d, (i + 1) * C * d), i * grown * d);
      return more;
    });
    C = grown;
    feeds = undefined;
  }

  return {
    /** Tokens of each row. */
    get lengths(): readonly number[] {
      return lengths;
    },
    reserve,
    /** Slots that a run of T tokens of some rows has to look at: of a prompt those in use, of a single token all C, which are read in place. */
    slotsOf(first: number, rows: number, T: number): number {
      const longest = Math.max(...lengths.slice(first, first + rows));
      if (longest === 0) return 0;
      return T === 1 ? C : Math.min(C, Math.ceil(longest / BLOCK) * BLOCK);
    },
    /**
     * Puts the first counts[r] of T new tokens behind those of row `first` + r.
     *
     * @param made per layer, keys [R,kvHeads,d,T] and values [R,kvHeads,T,d]
     */
    append(
      made: (name: string) => Float32Array,
      counts: readonly number[],
      { T, first = 0 }: { T: number; first?: number },
    ): void {
      reserve(Math.max(...counts.map((count, r) => lengths[first + r]! + count)));
      for (let layer = 0; layer < layers; layer++) {
        const names = cacheNames(layer);
        const [k, v] = [made(names.keys), made(names.values)];
        const { keys, values } = store[layer]!;
        counts.forEach((count, r) => {
          const at = lengths[first + r]!;
          for (let h = 0; h < kvHeads; h++) {
            const from = r * kvHeads + h;
            const to = (first + r) * kvHeads + h;
            values.set(v.subarray(from * T * d, (from * T + count) * d), (to * C + at) * d);
            for (let i = 0; i < d; i++) {
              const [source, target] = [(from * d + i) * T, (to * d + i) * C + at];
              if (count === 1) keys[target] = k[source]!;
              else keys.set(k.subarray(source, source + count), target);
            }
          }
        });
      }
      counts.forEach((count, r) => {
        lengths[first + r]! += count;
      });
    },
    /** Drops all rows but these, which come in this order. */
    keep(kept: readonly number[]): void {
      if (kept.length === lengths.length && kept.every((row, i) => row === i)) return;
      const line = kvHeads * d * C;
      for (const { keys, values } of store)
        kept.forEach((row, i) => {
          keys.copyWithin(i * line, row * line, (row + 1) * line);
          values.copyWithin(i * line, row * line, (row + 1) * line);
        });
      lengths = kept.map((row) => lengths[row]!);
      feeds = undefined;
    },
    /** Forgets all tokens; the slots stay. */
    clear(): void {
      lengths = lengths.map(() => 0);
    },
    /** Some rows of the cache as the graph takes them, with the first `slots` slots; a copy where that is not all of them. */
    feeds(first: number, rows: number, slots: number): Feeds {
      const whole = first === 0 && rows === lengths.length && slots === C;
      if (whole && feeds) return feeds;
      /** The first `used` of every `width` numbers of these rows. */
      const part = (all: Float32Array, width: number, used: number): Float32Array => {
        const size = (rows * kvHeads * d * C) / width;
        const from = first * kvHeads * d * C;
        if (used === width) return all.subarray(from, from + size * width);
        const copy = new Float32Array(size * used);
        for (let i = 0; i < size && used > 0; i++)
          copy.set(all.subarray(from + i * width, from + i * width + used), i * used);
        return copy;
      };
      const made = Object.fromEntries(
        store.flatMap(({ keys, values }, layer) => {
          const names = cacheNames(layer);
          const k = new Tensor('float32', part(keys, C, slots), [rows, kvHeads, d, slots]);
          const v = new Tensor('float32', part(values, C * d, slots * d), [rows, kvHeads, slots, d]);
          return [
            [names.cachedKeys, () => k],
            [names.cachedValues, () => v],
          ];
        }),
      );
      if (whole) feeds = made;
      return made;
    },
  };
}
