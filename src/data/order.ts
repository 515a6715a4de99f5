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
