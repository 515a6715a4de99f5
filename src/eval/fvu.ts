/**
 * Fraction of variance unexplained, and the scatter it is measured against.
 *
 *     FVU = Σ_b ‖x_b − x̂_b‖² / Σ_b ‖x_b − x̄‖²,   x̄ [D] = mean of all rows of the stream
 *
 * One pass: sums are kept about a fixed reference c (the mean of the first batch), which removes the cancellation of raw moments:
 *     q = Σ ‖x_b − c‖²,  s [D] = Σ (x_b − c),  n        per unit u
 *     Σ_{b∈u} ‖x_b − x̄‖² = q_u − 2 s_u·m + n_u ‖m‖²,   m = x̄ − c = Σ_u s_u / Σ_u n_u
 * in float64, so it equals the two-pass value to rounding. Per-unit shares are what the bootstrap resamples; x̄ stays that of the whole
 * stream there (its own error changes the scatter by a term of order 1/n only).
 */

/** ‖x_r − x̂_r‖² of row r in float64; x, xhat [B,D]. */
export function squaredError(x: Float32Array, xhat: Float32Array, r: number, D: number): number {
  let sum = 0;
  for (let i = r * D; i < (r + 1) * D; i++) {
    const d = x[i]! - xhat[i]!;
    sum += d * d;
  }
  return sum;
}

/** Scatter of a stream about its own mean, split by unit. */
export type Scatter = {
  /** Takes R rows x [R,D]; units[r] is the unit of row r, small non-negative integers. */
  add(x: Float32Array, units: ArrayLike<number>, R: number): void;
  /** Mean of all rows so far [D]. */
  mean(): Float64Array;
  /** Σ ‖x_b − x̄‖² of every unit [U]. */
  perUnit(): Float64Array;
};

/** Starts an empty scatter for rows of width D. Memory: (D + 2) float64 per unit. */
export function createScatter(D: number): Scatter {
  let reference: Float64Array | undefined;
  const units: { n: number; q: number; s: Float64Array }[] = [];

  function shift(): { m: Float64Array; n: number } {
    const m = new Float64Array(D);
    let n = 0;
    for (const unit of units) {
      n += unit.n;
      for (let d = 0; d < D; d++) m[d]! += unit.s[d]!;
    }
    for (let d = 0; d < D; d++) m[d]! /= n;
    return { m, n };
  }

  return {
    add(x, unitOf, R) {
      if (R === 0) return;
      if (reference === undefined) {
        reference = new Float64Array(D);
        for (let r = 0; r < R; r++) for (let d = 0; d < D; d++) reference[d]! += x[r * D + d]! / R;
      }
      for (let r = 0; r < R; r++) {
        const u = unitOf[r]!;
        while (units.length <= u) units.push({ n: 0, q: 0, s: new Float64Array(D) });
        const unit = units[u]!;
        const { s } = unit;
        let q = 0;
        for (let d = 0; d < D; d++) {
          const v = x[r * D + d]! - reference[d]!;
          s[d]! += v;
          q += v * v;
        }
        unit.q += q;
        unit.n++;
      }
    },
    mean() {
      const { m } = shift();
      return m.map((v, d) => v + (reference?.[d] ?? Number.NaN));
    },
    perUnit() {
      const { m } = shift();
      let square = 0;
      for (const v of m) square += v * v;
      return Float64Array.from(units, ({ n, q, s }) => {
        let dot = 0;
        for (let d = 0; d < D; d++) dot += s[d]! * m[d]!;
        return n === 0 ? 0 : q - 2 * dot + n * square;
      });
    },
  };
}
