/**
 * Mean and covariance of a stream of rows, for the mean-ablation and PCA controls.
 *
 *     x̄ = Σ x_b / n,   C = Σ (x_b − x̄)(x_b − x̄)^T / n     [D,D]
 *
 * Batches are merged as in Chan, Golub & LeVeque (1979): for a batch of n_b rows with mean x̄_b and scatter S_b about it, δ = x̄_b − x̄,
 *     S ← S + S_b + δ δ^T n n_b / (n + n_b),   x̄ ← x̄ + δ n_b / (n + n_b)
 * in float64.
 */
export type Moments = {
  readonly D: number;
  /** Rows taken so far. */
  readonly n: number;
  /** Takes B rows x [B,D]. */
  add(x: Float32Array, B: number): void;
  /** [D] */
  mean(): Float64Array;
  /** Population covariance, row-major [D,D]. Throws when it was not taken. */
  covariance(): Float64Array;
  /** To be stored, before more rows come: n [1], mean [D], scatter [D,D] with the lower triangle of n C, empty without the covariance. */
  state(): Map<string, Float64Array>;
  /** Continues from a stored state, to the same bits. */
  restore(state: ReadonlyMap<string, Float64Array>): void;
};

/** Starts empty moments for rows of width D; without the covariance, which is D^2 numbers and that many operations a row, only the mean. */
export function createMoments(D: number, { covariance = true }: { covariance?: boolean } = {}): Moments {
  const centre = new Float64Array(D);
  const scatter = new Float64Array(covariance ? D * D : 0);
  let n = 0;
  return {
    D,
    get n() {
      return n;
    },
    add(x, B) {
      if (B === 0) return;
      const batch = new Float64Array(D);
      for (let b = 0; b < B; b++) for (let d = 0; d < D; d++) batch[d]! += x[b * D + d]! / B;
      const rows = new Float64Array(4 * D);
      for (let b = 0; covariance && b < B; b += 4) {
        rows.fill(0);
        for (let i = 0; i < Math.min(4, B - b); i++) {
          for (let d = 0; d < D; d++) rows[i * D + d] = x[(b + i) * D + d]! - batch[d]!;
        }
        addOuter(scatter, rows, D);
      }
      const delta = batch.map((v, d) => v - centre[d]!);
      rows.fill(0);
      rows.set(delta.map((v) => v * Math.sqrt((n * B) / (n + B))));
      if (covariance) addOuter(scatter, rows, D);
      for (let d = 0; d < D; d++) centre[d]! += (delta[d]! * B) / (n + B);
      n += B;
    },
    mean: () => centre.slice(),
    covariance() {
      if (!covariance) throw new Error('These moments were taken without the covariance.');
      const full = new Float64Array(D * D);
      for (let i = 0; i < D; i++)
        for (let j = 0; j <= i; j++) full[i * D + j] = full[j * D + i] = scatter[i * D + j]! / n;
      return full;
    },
    state() {
      return new Map([
        ['n', Float64Array.of(n)],
        ['mean', centre],
        ['scatter', scatter],
      ]);
    },
    restore(state) {
      n = state.get('n')![0]!;
      centre.set(state.get('mean')!);
      if (covariance) scatter.set(state.get('scatter')!);
    },
  };
}

/** S += Σ v_i v_i^T over four rows v [4,D], lower triangle only; four at a time because S is what has to be moved. */
function addOuter(scatter: Float64Array, v: Float64Array, D: number): void {
  const [v1, v2, v3] = [v.subarray(D, 2 * D), v.subarray(2 * D, 3 * D), v.subarray(3 * D, 4 * D)];
  for (let i = 0; i < D; i++) {
    const [a, b, c, d] = [v[i]!, v1[i]!, v2[i]!, v3[i]!];
    const from = i * D;
    for (let j = 0; j <= i; j++) scatter[from + j]! += a * v[j]! + b * v1[j]! + c * v2[j]! + d * v3[j]!;
  }
}
