/**
 * The kernels of assembly/ again, in plain loops over ordinary arrays: slow, obvious, float64. What the fast ones are
 * tested against. Shape letters: B rows, D model width, F latents, K active latents.
 */

/** An active latent of one row. */
export type Entry = { readonly row: number; readonly latent: number; readonly value: number };

/** The K largest of pre [B,F] per row, ties to the lower latent, only what is positive: z = ReLU(TopK(pre)). */
export function topK(pre: ArrayLike<number>, B: number, F: number, K: number): Entry[] {
  const entries: Entry[] = [];
  for (let row = 0; row < B; row++) {
    const order = Array.from({ length: F }, (_, latent) => ({ row, latent, value: pre[row * F + latent]! }));
    order.sort((a, b) => b.value - a.value || a.latent - b.latent);
    entries.push(...order.slice(0, K).filter((entry) => entry.value > 0));
  }
  return entries;
}

/** What of pre [B,F] is above the threshold of its latent: z = scale pre + shift there, if positive. */
export function above(
  pre: ArrayLike<number>,
  B: number,
  F: number,
  threshold: ArrayLike<number>,
  scale?: ArrayLike<number>,
  shift?: ArrayLike<number>,
): Entry[] {
  const entries: Entry[] = [];
  for (let row = 0; row < B; row++)
    for (let latent = 0; latent < F; latent++) {
      const p = pre[row * F + latent]!;
      const value = scale ? scale[latent]! * p + shift![latent]! : p;
      if (p > threshold[latent]! && value > 0) entries.push({ row, latent, value });
    }
  return entries;
}

/** out [B,D] = sum over entries of value * W_dec[latent]. */
export function decode(
  entries: readonly Entry[],
  W_dec: ArrayLike<number>,
  B: number,
  D: number,
): Float64Array {
  const out = new Float64Array(B * D);
  for (const { row, latent, value } of entries)
    for (let d = 0; d < D; d++) out[row * D + d]! += value * W_dec[latent * D + d]!;
  return out;
}

export type Gradients = {
  readonly W_dec: Float64Array;
  readonly W_enc: Float64Array;
  readonly b_enc: Float64Array;
  /** The encoder's share of dL/db_dec: - sum_i dL/db_enc_i W_enc_i. */
  readonly b_dec: Float64Array;
};

/** Gradients of g/2 * sum |x - z W_dec|^2 through ReLU and TopK, with error = x - z W_dec; W_dec not yet projected. */
export function gradients(
  entries: readonly Entry[],
  g: number,
  xCentred: ArrayLike<number>,
  error: ArrayLike<number>,
  W_enc: ArrayLike<number>,
  W_dec: ArrayLike<number>,
  F: number,
  D: number,
): Gradients {
  const result = {
    W_dec: new Float64Array(F * D),
    W_enc: new Float64Array(F * D),
    b_enc: new Float64Array(F),
    b_dec: new Float64Array(D),
  };
  for (const { row, latent, value } of entries) {
    let dPre = 0;
    for (let d = 0; d < D; d++) dPre -= g * error[row * D + d]! * W_dec[latent * D + d]!;
    result.b_enc[latent]! += dPre;
    for (let d = 0; d < D; d++) {
      result.W_dec[latent * D + d]! -= g * value * error[row * D + d]!;
      result.W_enc[latent * D + d]! += dPre * xCentred[row * D + d]!;
      result.b_dec[d]! -= dPre * W_enc[latent * D + d]!;
    }
  }
  return result;
}

/** In place: G_i -= (G_i . w_i) w_i for unit rows w_i; what is left is tangent to the sphere. */
export function projectInPlace(gradient: Float64Array, W: ArrayLike<number>, F: number, D: number): void {
  for (let i = 0; i < F; i++) {
    let along = 0;
    for (let d = 0; d < D; d++) along += gradient[i * D + d]! * W[i * D + d]!;
    for (let d = 0; d < D; d++) gradient[i * D + d]! -= along * W[i * D + d]!;
  }
}

export type AdamConstants = { lr: number; beta1: number; beta2: number; eps: number; t: number };

/** In place: one step of Adam (Kingma & Ba, algorithm 1, as torch.optim.Adam orders it), t counted from 1. */
export function adamInPlace(
  w: Float64Array,
  m: Float64Array,
  v: Float64Array,
  gradient: ArrayLike<number>,
  { lr, beta1, beta2, eps, t }: AdamConstants,
): void {
  for (let i = 0; i < w.length; i++) {
    m[i] = beta1 * m[i]! + (1 - beta1) * gradient[i]!;
    v[i] = beta2 * v[i]! + (1 - beta2) * gradient[i]! ** 2;
    const step = (lr / (1 - beta1 ** t)) * m[i]!;
    w[i]! -= step / (Math.sqrt(v[i]! / (1 - beta2 ** t)) + eps);
  }
}

/** In place: rows of W [F,D] to unit norm. */
export function normaliseInPlace(W: Float64Array, F: number, D: number): void {
  for (let i = 0; i < F; i++) {
    let squared = 0;
    for (let d = 0; d < D; d++) squared += W[i * D + d]! ** 2;
    for (let d = 0; d < D; d++) W[i * D + d]! /= Math.sqrt(squared);
  }
}
