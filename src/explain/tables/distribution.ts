/**
 * How strongly a latent fires where it fires, z_1 … z_n > 0:
 *
 *     mean, std (population), skewness = mean((z − mean)³) / std³, max
 *     quantile q: linear between order statistics at (n − 1) q                  (type 7 of Hyndman & Fan 1996, NumPy's default)
 *     histogram:  n_b = |{ i : ⌈z_i / max · bins⌉ = b + 1 }|
 */
import { HISTOGRAM_BINS, QUANTILES } from '../../shared/feature-tables.ts';

export type Distribution = {
  readonly mean: number;
  readonly std: number;
  readonly skewness: number;
  readonly max: number;
  readonly quantiles: number[];
  readonly histogram: Int32Array;
};

/** @param falling activations, largest first; none gives zeros */
export function distribution(falling: Float32Array): Distribution {
  const n = falling.length;
  const histogram = new Int32Array(HISTOGRAM_BINS);
  if (n === 0) return { mean: 0, std: 0, skewness: 0, max: 0, quantiles: QUANTILES.map(() => 0), histogram };
  const max = falling[0]!;
  let sum = 0;
  for (const z of falling) {
    sum += z;
    histogram[Math.min(HISTOGRAM_BINS, Math.max(1, Math.ceil((z / max) * HISTOGRAM_BINS))) - 1]!++;
  }
  const mean = sum / n;
  let [square, cube] = [0, 0];
  for (const z of falling) {
    square += (z - mean) ** 2;
    cube += (z - mean) ** 3;
  }
  const std = Math.sqrt(square / n);
  const quantiles = QUANTILES.map((q) => {
    const place = (n - 1) * q;
    const low = Math.floor(place);
    const [a, b] = [falling[n - 1 - low]!, falling[Math.max(0, n - 2 - low)]!];
    return a + (b - a) * (place - low);
  });
  return { mean, std, skewness: std > 0 ? cube / n / std ** 3 : 0, max, quantiles, histogram };
}
