/**
 * Percentile bootstrap over units (Efron & Tibshirani 1993, ch. 13). A unit is a document, or a sequence where documents are not
 * known: tokens of one document are dependent, so resampling tokens would give intervals that are far too narrow.
 *
 *     S ∈ R^[U,C]   per unit u the sums of C quantities (tokens, squared error, nats, …)
 *     T = Σ_u S_u   a statistic is a function θ(T), usually a ratio of two sums
 *     draw r:  u₁ … u_U with replacement,  T_r = Σ_i S_{u_i},  θ_r = θ(T_r)
 *     interval = [quantile(θ_r, α/2), quantile(θ_r, 1 − α/2)],  α = 1 − level
 *
 * All statistics of one call see the same draws, so that differences between candidates are paired.
 * Not here: bias correction (BCa). With fewer than about 20 units any percentile interval is too narrow; `n` says how many there were.
 */
import type { Interval } from '../../shared/eval.ts';
import { createRng } from '../../shared/rng.ts';
import { quantiles } from './quantiles.ts';

/** Sums per unit, row-major [U,C]. */
export type UnitSums = { readonly U: number; readonly C: number; readonly sums: ArrayLike<number> };

export type BootstrapOptions = {
  readonly seed: string | number;
  /** Draws, default 1000. */
  readonly resamples?: number;
  /** Two-sided level, default 0.95. */
  readonly level?: number;
  readonly unit: Interval['unit'];
};

/** Column sums T [C] over all units. */
export function totalSums({ U, C, sums }: UnitSums): Float64Array {
  const totals = new Float64Array(C);
  for (let u = 0; u < U; u++) for (let c = 0; c < C; c++) totals[c]! += sums[u * C + c]!;
  return totals;
}

/**
 * Point values θ(T) and their percentile intervals. A statistic that is not finite (0/0) has value null; draws where it is not finite
 * are left out of its interval.
 *
 * @param statistics maps column sums [C] to the statistics, always in the same order
 */
export function bootstrap(
  units: UnitSums,
  statistics: (totals: Float64Array) => readonly number[],
  { seed, resamples = 1000, level = 0.95, unit }: BootstrapOptions,
): Interval[] {
  const { U, C, sums } = units;
  const point = statistics(totalSums(units));
  const draws = point.map(() => new Float64Array(resamples));
  const used = point.map(() => 0);
  const rng = createRng(seed);
  const totals = new Float64Array(C);
  for (let r = 0; r < resamples && U > 0; r++) {
    totals.fill(0);
    for (let i = 0; i < U; i++) {
      const from = rng.int(U) * C;
      for (let c = 0; c < C; c++) totals[c]! += sums[from + c]!;
    }
    const values = statistics(totals);
    for (let s = 0; s < point.length; s++) if (Number.isFinite(values[s])) draws[s]![used[s]!++] = values[s]!;
  }
  return point.map((value, s) => {
    if (!Number.isFinite(value) || used[s] === 0) return { value: null, low: null, high: null, n: U, unit };
    const [low, high] = quantiles(draws[s]!.subarray(0, used[s]), [(1 - level) / 2, (1 + level) / 2]);
    return { value, low: low!, high: high!, n: U, unit };
  });
}
