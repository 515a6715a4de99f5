/**
 * Directions that a steered latent is compared with.
 *
 *     noise         u / |u|,  u_d ~ N(0, 1)                                        uniform on the sphere
 *     difference    mean_i x⁺_i − mean_i x⁻_i                                      of rows with and without the concept (DiffMean)
 *     of norm r     r u / |u|                                                      so that every control pushes as far
 */
import { createRng } from '../../shared/rng.ts';

/** A direction [D] uniform on the sphere of radius `norm`. */
export function noiseDirection(D: number, norm: number, seed: string | number): Float32Array {
  const rng = createRng(seed);
  return withNorm(
    Float32Array.from({ length: D }, () => rng.normal()),
    norm,
  );
}

/**
 * The difference of means [D] of two sets of rows [n,D] and [m,D].
 *
 * @throws RangeError when a set is empty or no whole number of rows
 */
export function differenceOfMeans(
  positive: ArrayLike<number>,
  negative: ArrayLike<number>,
  D: number,
): Float32Array {
  const mean = (rows: ArrayLike<number>, what: string): Float64Array => {
    const n = rows.length / D;
    if (!(n >= 1 && Number.isInteger(n)))
      throw new RangeError(`${rows.length} ${what} numbers are no rows of ${D}.`);
    const sums = new Float64Array(D);
    for (let i = 0; i < rows.length; i++) sums[i % D]! += rows[i]! / n;
    return sums;
  };
  const [plus, minus] = [mean(positive, 'positive'), mean(negative, 'negative')];
  return Float32Array.from(plus, (value, d) => value - minus[d]!);
}

/** The same direction at another length; a zero vector has no direction and stays zero. */
export function withNorm(direction: Float32Array, norm: number): Float32Array {
  const length = Math.hypot(...direction);
  return length === 0 ? direction.slice() : direction.map((value) => (value * norm) / length);
}
