/**
 * Normalisation of the input, one row at a time, undone on the output.
 *
 *     layer   x' = (x - mean) / (std + 1e-5)     xhat = xhat' std + mean       std over D - 1 (SAELens's layer_norm; OpenAI's, by its +1e-5 too)
 *     centre  x' = x - mean                      xhat = xhat' + mean           TransformerLens's center_writing_weights, in models with LayerNorm
 *     norm    x' = x sqrt(D) / |x|               xhat = xhat' |x| / sqrt(D)    SAELens's constant_norm_rescale
 */
import type { InputNorm } from './types.ts';

const epsilon = 1e-5;

type RowNorm = { readonly shift: number; readonly divisor: number; readonly factor: number };

/** x' = (x - shift) / divisor, xhat = xhat' factor + shift. */
function rowNorm(kind: InputNorm | undefined, row: Float32Array): RowNorm {
  const D = row.length;
  if (kind === undefined) return { shift: 0, divisor: 1, factor: 1 };
  if (kind === 'norm') {
    const scale = Math.sqrt(row.reduce((sum, value) => sum + value ** 2, 0) / D);
    return { shift: 0, divisor: scale, factor: scale };
  }
  const mean = row.reduce((sum, value) => sum + value, 0) / D;
  if (kind === 'centre') return { shift: mean, divisor: 1, factor: 1 };
  const std = Math.sqrt(row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (D - 1));
  return { shift: mean, divisor: std + epsilon, factor: std };
}

/** Rows [B,D] as the encoder takes them, minus `bias` where there is one, into `out`. */
export function normaliseRows(
  kind: InputNorm | undefined,
  x: Float32Array,
  D: number,
  bias: Float32Array | undefined,
  out: Float32Array,
): void {
  const minus = bias ?? new Float32Array(D);
  for (let from = 0; from < x.length; from += D) {
    if (kind === undefined) {
      for (let d = 0; d < D; d++) out[from + d] = x[from + d]! - minus[d]!;
      continue;
    }
    const { shift, divisor } = rowNorm(kind, x.subarray(from, from + D));
    for (let d = 0; d < D; d++) out[from + d] = (x[from + d]! - shift) / divisor - minus[d]!;
  }
}

/** Scales an output row back, in place, as its input row was normalised. */
export function restoreRow(kind: InputNorm | undefined, input: Float32Array, output: Float32Array): void {
  if (kind === undefined) return;
  const { shift, factor } = rowNorm(kind, input);
  for (let d = 0; d < output.length; d++) output[d] = output[d]! * factor + shift;
}
