/**
 * The splice: the model continues from a hook with other activations at the measured positions, its own everywhere else.
 *
 *     h'[i] = x̂_r at measured position i = positions[r],  h[i] elsewhere (special tokens, excluded first positions, padding)
 */
import type { Tensor } from '../models/types.ts';

/** D of [B,T,D]; H headDim of hook_z [B,T,H,headDim], which lies in memory as flattened. */
export const widthOf = ({ dims }: Tensor): number => dims.slice(2).reduce((product, n) => product * n, 1);

/** A copy of the activations [B,T,D] with xhat [N,D] at the given flat positions [N]. */
export function spliceRows(activations: Tensor, positions: Int32Array, xhat: Float32Array): Tensor {
  const D = widthOf(activations);
  const data = activations.data.slice();
  for (let r = 0; r < positions.length; r++) data.set(xhat.subarray(r * D, (r + 1) * D), positions[r]! * D);
  return { data, dims: activations.dims };
}

/** Rows [N,D] of activations [B,T,D] at flat positions [N]. */
export function gatherRows(activations: Tensor, positions: Int32Array): Float32Array {
  const { data } = activations;
  const D = widthOf(activations);
  const x = new Float32Array(positions.length * D);
  for (let r = 0; r < positions.length; r++)
    x.set(data.subarray(positions[r]! * D, (positions[r]! + 1) * D), r * D);
  return x;
}
