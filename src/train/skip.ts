/**
 * W_skip of a skip transcoder [Dout,D]: its rows are dealt to the shards, skipRows to each, as latents are.
 *
 *   y         <- y - x W_skip^T                              before anything else is reconstructed
 *   dL/dW_skip = - g e^T x                                   from what the step leaves, then Adam
 *
 * One product per shard, so that its sizes, and with them its bits, do not depend on the number of ranks.
 */
import { pointer as at } from '../kernels/arena.ts';
import { outputWidth } from '../sae/check.ts';
import type { StepContext } from './step.ts';
import { ownShards } from './tiles.ts';
import { adamScales } from './update.ts';

/** y -= x W_skip^T. */
export async function subtractSkip({ group, comm, product, config }: StepContext): Promise<void> {
  const { D, own, rank, skipRows, skipOut, x, y } = group;
  const { B } = config;
  const size = B * skipRows;
  const mine = skipOut.subarray(rank * own * size, (rank + 1) * own * size);
  const zeros = new Float32Array(skipRows);
  for (const s of ownShards(own)) {
    const W = group.weights.W_skip.subarray(s * skipRows * D, (s + 1) * skipRows * D);
    await product.run(x, W, zeros, mine.subarray(s * size, (s + 1) * size), D);
  }
  comm.allGather('skipOut', mine, skipOut);
  const Dout = outputWidth(config);
  for (let b = 0; b < B; b++)
    for (let d = 0; d < Dout; d++)
      y[b * D + d]! -= skipOut[Math.floor(d / skipRows) * size + b * skipRows + (d % skipRows)]!;
}

/** Adam for own rows of W_skip, from the residual in `error`; g as in dL/dxhat = -g e. */
export async function updateSkip(
  { group, product, config }: StepContext,
  g: number,
  step: number,
): Promise<void> {
  const { D, own, rank, skipRows, skipInput, skipError, skipGradient, error, kernels, weights: w } = group;
  const { B } = config;
  const { beta1, beta2, eps } = config.adam;
  const { stepSize, secondScale } = adamScales(config, step);
  const zeros = new Float32Array(D);
  for (let b = 0; b < B; b++) for (let d = 0; d < D; d++) skipInput[d * B + b] = group.x[b * D + d]!;
  for (const s of ownShards(own)) {
    const first = (rank * own + s) * skipRows;
    for (let j = 0; j < skipRows; j++)
      for (let b = 0; b < B; b++) skipError[j * B + b] = first + j < D ? -g * error[b * D + first + j]! : 0;
    await product.run(skipError, skipInput, zeros, skipGradient, B);
    const offset = s * skipRows * D * 4;
    // biome-ignore format: grouped as in the kernel
    kernels.adamVector(
      at(w.W_skip) + offset, at(w.mSkip) + offset, at(w.vSkip) + offset, at(skipGradient), skipRows * D,
      stepSize, secondScale, beta1, beta2, eps,
    );
  }
}
