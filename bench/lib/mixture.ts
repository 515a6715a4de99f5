/**
 * Activations that look like a residual stream's to an SAE: many sparse directions in superposition on an off-centre mean.
 *
 *   x [rows,D] = sum over `active` of `directions` a_j f_j + offset + noise,  f_j random, a_j in [0.5, 1.5]
 */
import { createRng } from '../../src/shared/rng.ts';

export function mixture(
  rows: number,
  D: number,
  { directions = 2048, active = 24, seed = 'bench' } = {},
): Float32Array {
  const { rng, f, offset } = directionsOf(D, { directions, seed });
  const x = new Float32Array(rows * D);
  for (let row = 0; row < rows; row++) {
    const at = row * D;
    for (let d = 0; d < D; d++) x[at + d] = offset[d]! + 0.02 * rng.normal();
    for (let j = 0; j < active; j++) {
      const from = rng.int(directions) * D;
      const a = 0.5 + rng.uniform();
      for (let d = 0; d < D; d++) x[at + d]! += a * f[from + d]!;
    }
  }
  return x;
}

/** f [directions,D] and the offset [D] of a mixture; rng goes on with its rows. */
export function directionsOf(D: number, { directions = 2048, seed = 'bench' } = {}) {
  const rng = createRng(seed);
  const f = Float32Array.from({ length: directions * D }, () => rng.normal() / Math.sqrt(D));
  const offset = Float32Array.from({ length: D }, () => rng.normal() * 0.3);
  return { rng, f, offset };
}
