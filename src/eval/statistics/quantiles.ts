/**
 * Quantiles.
 *
 *     quantile(x, q) = (1 − f) x₍ᵢ₎ + f x₍ᵢ₊₁₎,  h = (n − 1) q, i = ⌊h⌋, f = h − i      (type 7: numpy's default)
 */

/**
 * Quantiles of `values` at each of `at` (0 to 1), interpolated linearly; NaN of nothing. The input is left as it is.
 *
 * @throws RangeError when a probability leaves [0, 1]
 */
export function quantiles(values: ArrayLike<number>, at: readonly number[]): number[] {
  const sorted = Float64Array.from(values).sort();
  return at.map((q) => {
    if (!(q >= 0 && q <= 1)) throw new RangeError(`A quantile needs a probability from 0 to 1, got ${q}.`);
    if (sorted.length === 0) return Number.NaN;
    const h = (sorted.length - 1) * q;
    const i = Math.floor(h);
    const low = sorted[i]!;
    const high = sorted[Math.min(i + 1, sorted.length - 1)]!;
    return h === i ? low : low + (h - i) * (high - low);
  });
}
