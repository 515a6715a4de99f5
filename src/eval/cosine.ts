/**
 * Cosine of an activation and its reconstruction.
 *
 *     cos_b = x_b·x̂_b / (‖x_b‖ ‖x̂_b‖),   reported: mean over rows; 0 where either is the zero vector
 */

/** cos(x_r, x̂_r) in float64; x, xhat [B,D]. */
export function rowCosine(x: Float32Array, xhat: Float32Array, r: number, D: number): number {
  let dot = 0;
  let xx = 0;
  let yy = 0;
  for (let i = r * D; i < (r + 1) * D; i++) {
    dot += x[i]! * xhat[i]!;
    xx += x[i]! * x[i]!;
    yy += xhat[i]! * xhat[i]!;
  }
  return xx === 0 || yy === 0 ? 0 : dot / Math.sqrt(xx * yy);
}
