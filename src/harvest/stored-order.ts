/**
 * The order in which stored rows are trained on. A file is read in blocks of neighbours, a batch must not consist of neighbours:
 *
 *     rows 0 … N-1 -> held-out sections left out -> blocks of b neighbours
 *     epoch e      -> the blocks permuted by (seed, e) -> dealt to pools of at most P rows
 *     pool p       -> read from disk block by block, in ascending order -> its rows permuted by (seed, e, p) -> batches
 *
 * Every row is given exactly once per epoch. A row's place within its pool is uniform and independent of its neighbours', and a pool
 * is made of P / b >= 256 blocks from all over the data; so of the b rows of a block about B b / P meet in a batch of B rows.
 * Everything follows from (seed, epoch, position): a saved place is two numbers, and no rows have to be saved with it.
 */
import { createRng, permutation } from '../shared/rng.ts';

/** Rows [start, start + count). */
export type RowRange = { readonly start: number; readonly count: number };

/** Held-out rows lie in sections, so that few neighbours of a held-out row (the same text, mostly) are trained on. */
const SECTION_ROWS = 4096;
/** A block is read at once: large enough for a disk, small beside a pool. */
const BLOCK_ROWS = 256;
const BLOCKS_PER_POOL = 256;

/**
 * Divides rows into training and held-out ones: whole sections, chosen by their number alone, so that every seed and every setting of
 * a run leaves out the same rows.
 *
 * @param share of the rows held out, 0 for none
 */
export function splitRows(rows: number, share: number): { train: RowRange[]; heldout: RowRange[] } {
  if (!(share >= 0 && share < 1))
    throw new RangeError(`The held-out share is ${share}, expected 0 or more and less than 1`);
  const section = Math.max(1, Math.min(SECTION_ROWS, Math.floor(rows * share)));
  // Equally long to a row, so that the share does not depend on which ones are chosen.
  const sections = Math.ceil(rows / section);
  const begin = (s: number): number => Math.floor((s * rows) / sections);
  const count = share === 0 ? 0 : Math.min(sections - 1, Math.max(1, Math.round(sections * share)));
  const held = new Set(permutation(sections, createRng(`held-out/${rows}`)).subarray(0, count));
  const parts = { train: [] as RowRange[], heldout: [] as RowRange[] };
  for (let s = 0; s < sections; ) {
    const isHeld = held.has(s);
    const start = begin(s);
    while (s < sections && held.has(s) === isHeld) s++;
    parts[isHeld ? 'heldout' : 'train'].push({ start, count: begin(s) - start });
  }
  return parts;
}

/** One pool of one epoch: its blocks in ascending order, and the order its rows are given in, by place in the pool. */
export type Pool = {
  readonly epoch: number;
  readonly index: number;
  /** Rows of this epoch before it. */
  readonly start: number;
  readonly count: number;
  readonly blocks: readonly RowRange[];
  readonly order: Uint32Array;
};

export type StoredOrder = {
  /** Rows of an epoch. */
  readonly rows: number;
  /** Pools of an epoch; the only one holds all rows. */
  readonly pools: number;
  /** Rows of the largest pool. */
  readonly capacity: number;
  /** The pool that holds place `position` of an epoch, 0 <= position < rows. */
  at(epoch: number, position: number): Pool;
};

/**
 * @param shuffleTokens rows in memory: one pool when all rows fit, two of half that size otherwise; 0 keeps the order of the ranges
 */
export function createStoredOrder(
  ranges: readonly RowRange[],
  { shuffleTokens, seed }: { readonly shuffleTokens: number; readonly seed: number | string },
): StoredOrder {
  const rows = ranges.reduce((sum, { count }) => sum + count, 0);
  const shuffled = shuffleTokens > 0;
  const fits = rows <= shuffleTokens;
  const room = fits ? rows : shuffled ? Math.max(1, Math.floor(shuffleTokens / 2)) : 16 * BLOCK_ROWS;
  const small = Math.max(1, Math.floor(room / BLOCKS_PER_POOL));
  const size = shuffled && !fits ? Math.min(BLOCK_ROWS, small) : BLOCK_ROWS;
  const blocks = ranges.flatMap(({ start, count }) =>
    Array.from({ length: Math.ceil(count / size) }, (_, i) => ({
      start: start + i * size,
      count: Math.min(size, count - i * size),
    })),
  );
  const pools = rows <= room ? 1 : Math.ceil(blocks.length / Math.max(1, Math.floor(room / size)));
  /** First block of a pool, in the epoch's order of blocks. */
  const first = (pool: number): number => Math.floor((pool * blocks.length) / pools);

  let known: { epoch: number; order: Uint32Array; starts: Float64Array } | undefined;
  function dealt(epoch: number): { order: Uint32Array; starts: Float64Array } {
    if (known?.epoch === epoch) return known;
    const order = shuffled
      ? permutation(blocks.length, createRng(`${seed}/blocks/${epoch}`))
      : Uint32Array.from(blocks.keys());
    const starts = new Float64Array(pools + 1);
    for (let p = 0; p < pools; p++) {
      let count = 0;
      for (let i = first(p); i < first(p + 1); i++) count += blocks[order[i]!]!.count;
      starts[p + 1] = starts[p]! + count;
    }
    known = { epoch, order, starts };
    return known;
  }
  return {
    rows,
    pools,
    capacity: pools === 1 ? rows : Math.ceil(blocks.length / pools) * size,
    at(epoch, position) {
      const { order, starts } = dealt(epoch);
      let index = 0;
      while (starts[index + 1]! <= position) index++;
      const [start, count] = [starts[index]!, starts[index + 1]! - starts[index]!];
      const chosen = [...order.subarray(first(index), first(index + 1))].sort((a, b) => a - b);
      return {
        epoch,
        index,
        start,
        count,
        blocks: chosen.map((block) => blocks[block]!),
        order: shuffled
          ? permutation(count, createRng(`${seed}/rows/${epoch}/${index}`))
          : Uint32Array.from({ length: count }, (_, i) => i),
      };
    },
  };
}
