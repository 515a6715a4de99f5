import { pointer as at } from '../kernels/arena.ts';
import type { StepContext } from './step.ts';

/** e = x - z W_dec from the entries by row, summed over all shards in their tree; returns sum |e|^2. */
export function reconstruct({ group, comm, config: { B } }: StepContext): number {
  const { kernels, D, own } = group;
  // biome-ignore format: grouped as in the kernel
  kernels.decodeRows(
    at(group.rowStart), at(group.rowLatent), at(group.rowValue), at(group.weights.W_dec), at(group.leaves),
    at(group.partial), B, own, D, 1,
  );
  comm.allReduceSum('partial', group.partial, group.partial);
  kernels.rowError(at(group.x), at(group.partial), at(group.error), at(group.squared), B, D);
  return total(group.squared);
}

export const total = (v: Float64Array): number => v.reduce((a, b) => a + b, 0);
