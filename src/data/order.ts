/** The order of documents in an epoch. */
import { createRng } from '../shared/rng.ts';

/**
 * A permutation of [0, count) that depends on seed and epoch only (Fisher–Yates), so that a cursor need not store it.
 * Four bytes per document.
 */
export function epochOrder(count: number, seed: number | string, epoch: number): Uint32Array {
  const order = new Uint32Array(count);
  for (let i = 0; i < count; i++) order[i] = i;
  const rng = createRng(`${seed}/documents/${epoch}`);
  for (let i = count - 1; i > 0; i--) {
    const j = rng.int(i + 1);
    const swap = order[i]!;
    order[i] = order[j]!;
    order[j] = swap;
  }
  return order;
}

/**
 * Document at each position of an epoch. With blocks: the blocks in shuffled order, and the documents shuffled within each; memory for one
 * block only.
 */
export function documentOrder(
  { count, blocks }: { readonly count: number; readonly blocks?: readonly number[] },
  seed: number | string,
  epoch: number,
): (position: number) => number {
  if (!blocks) {
    const order = epochOrder(count, seed, epoch);
    return (position) => order[position]!;
  }
  const order = epochOrder(blocks.length - 1, `${seed}/blocks`, epoch);
  const size = (block: number): number => blocks[block + 1]! - blocks[block]!;
  /** Position at which the n-th block of the order begins. */
  const begins = new Float64Array(order.length + 1);
  for (let n = 0; n < order.length; n++) begins[n + 1] = begins[n]! + size(order[n]!);
  let current = -1;
  let within: Uint32Array = new Uint32Array(0);
  return (position) => {
    if (current < 0 || position < begins[current]! || position >= begins[current + 1]!) {
      current = begins.findLastIndex((begin) => begin <= position);
      const block = order[current]!;
      within = epochOrder(size(block), `${seed}/block ${block}`, epoch);
    }
    return blocks[order[current]!]! + within[position - begins[current]!]!;
  };
}

/**
 * A random order of which every beginning holds equal shares of text of all labels, as far as there is text of them:
 *
 *     key(d) = min over columns c of Σ bytes(e),   e before d in the random order, of the same value of c as d
 *
 * and documents by rising key. So up to key t it has the first t bytes of every value of every column in random order, and no others.
 *
 * @param columns of each the value (a number from 0) of every document, −1 for none, which is a value too
 * @param bytes of every document
 */
export function balancedOrder(
  columns: readonly Int32Array[],
  bytes: ArrayLike<number>,
  seed: number | string,
): Uint32Array {
  const random = epochOrder(bytes.length, seed, 0);
  const key = new Float64Array(bytes.length).fill(Infinity);
  for (const values of columns) {
    const before = new Map<number, number>();
    for (const d of random) {
      const sum = before.get(values[d]!) ?? 0;
      key[d] = Math.min(key[d]!, sum);
      before.set(values[d]!, sum + bytes[d]!);
    }
  }
  // A stable sort: equal keys stay in random order.
  return random.sort((a, b) => key[a]! - key[b]!);
}
