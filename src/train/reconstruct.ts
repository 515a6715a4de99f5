import { pointer as at } from '../kernels/arena.ts';
import type { Group } from './group.ts';
import type { StepContext } from './step.ts';

/** A sparse code by row, and the place of what it leaves. */
type Code = {
  readonly start: Int32Array;
  readonly latents: Int32Array;
  readonly values: Float32Array;
  readonly error: Float32Array;
};

const own = ({ rowStart, rowLatent, rowValue, error }: Group): Code => ({
  start: rowStart,
  latents: rowLatent,
  values: rowValue,
  error,
});

/** error = y - z W_dec, of the code of the step unless another is named, summed over all shards in their tree; returns sum |error|^2. */
export function reconstruct(context: StepContext, code: Code = own(context.group)): number {
  const { group, config } = context;
  // biome-ignore format: grouped as in the kernel
  group.kernels.decodeRows(
    at(code.start), at(code.latents), at(code.values), at(group.weights.W_dec), at(group.leaves), at(group.partial),
    config.B, group.own, group.D, 1,
  );
  return residual(context, group.partial, code.error);
}

/** error = y - the sum over ranks of `partial`, which may be the same array; returns sum |error|^2. */
export function residual(
  { group, comm, config }: StepContext,
  partial: Float32Array,
  error: Float32Array,
): number {
  comm.allReduceSum('partial', partial, partial);
  group.kernels.rowError(at(group.y), at(partial), at(error), at(group.squared), config.B, group.D);
  return total(group.squared);
}

/** In float64, in order. */
export function total(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum;
}
