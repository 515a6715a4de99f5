/** Factors that are folded into the weights, in place, and a decoder bias that is folded into a copy. */
import { subtractsBias } from '../check.ts';
import type { Sae } from '../types.ts';
import type { Arrays } from '../variants/variant.ts';

/** Folds a factor s on the input, x' = s x, into W_enc, and one on the output, xhat = xhat' / back, into W_dec and b_dec. */
export function foldScales({ W_enc, W_dec, b_dec }: Arrays, s: number, back = s): void {
  for (let i = 0; i < W_enc.length; i++) W_enc[i]! *= s;
  for (let i = 0; i < W_dec.length; i++) W_dec[i]! /= back;
  for (let i = 0; i < b_dec.length; i++) b_dec[i]! /= back;
}

/** z = (x - mean) M before the encoder, x = z U + mean behind the decoder; M and U = M^-1 [D,D]. */
export type Whitening = {
  readonly mean: Float32Array;
  readonly M: Float32Array;
  readonly U: Float32Array;
};

/**
 * Folds an affine whitening of the input into the weights, as SAELens's fold_activation_whitening (arXiv:2511.13981):
 *
 *     W_enc <- W_enc M^T      W_dec <- W_dec U      b_dec <- b_dec U + mean      biases of an encoder of x itself: b - W_enc mean
 *
 * @param subtracts the encoder reads x - b_dec, which takes the mean off
 */
export function foldWhitening(
  { W_enc, b_enc, W_dec, b_dec, b_mag, r_mag }: Arrays,
  { mean, M, U }: Whitening,
  subtracts: boolean,
): void {
  const [D, F] = [mean.length, b_enc.length];
  const row = new Float64Array(D);
  const write = (W: Float32Array, f: number): void => W.set(row, f * D);
  for (let f = 0; f < F; f++) {
    for (let i = 0; i < D; i++) {
      let sum = 0;
      for (let j = 0; j < D; j++) sum += M[i * D + j]! * W_enc[f * D + j]!;
      row[i] = sum;
    }
    write(W_enc, f);
    const shift = subtracts ? 0 : row.reduce((sum, w, i) => sum + w * mean[i]!, 0);
    b_enc[f]! -= shift;
    if (b_mag) b_mag[f]! -= shift * Math.exp(r_mag![f]!);
    times(W_dec.subarray(f * D, (f + 1) * D), U, row);
    write(W_dec, f);
  }
  times(b_dec, U, row);
  b_dec.set(row.map((b, i) => b + mean[i]!));
}

/** out [D] = row [D] U [D,D]. */
function times(row: Float32Array, U: Float32Array, out: Float64Array): void {
  const D = row.length;
  out.fill(0);
  for (let j = 0; j < D; j++) {
    const value = row[j]!;
    for (let i = 0; i < D; i++) out[i]! += value * U[j * D + i]!;
  }
}

/** Folds |W_dec rows| into the encoder and makes decoder rows unit length: TopK of pre |W_dec row|, the same output. Zero rows stay. */
export function foldDecoderNorms({ W_enc, b_enc, W_dec }: Arrays, F: number): void {
  const [D, Dout] = [W_enc.length / F, W_dec.length / F];
  for (const [f, norm] of rowNorms(W_dec, F).entries()) {
    b_enc[f]! *= norm;
    for (let i = f * D; i < (f + 1) * D; i++) W_enc[i]! *= norm;
    if (norm > 0) for (let i = f * Dout; i < (f + 1) * Dout; i++) W_dec[i]! /= norm;
  }
}

/** Euclidean length of each row of W [F,D]. */
export function rowNorms(W: Float32Array, F: number): Float64Array {
  const D = W.length / F;
  return Float64Array.from({ length: F }, (_, f) => {
    let square = 0;
    for (let i = f * D; i < (f + 1) * D; i++) square += W[i]! ** 2;
    return Math.sqrt(square);
  });
}

/**
 * The SAE as one that reads x itself: (x - b_dec) W_enc^T + b_enc = x W_enc^T + (b_enc - W_enc b_dec), equal up to rounding. Not of Gated
 * SAEs, whose magnitudes have a bias of their own.
 */
export function readingX(sae: Sae): Sae {
  if (!subtractsBias(sae.config)) return sae;
  const { config, W_enc, b_enc, b_dec } = sae;
  const { D } = config;
  const folded = b_enc.map((bias, f) => {
    let sum = bias;
    for (let i = 0; i < D; i++) sum -= W_enc[f * D + i]! * b_dec[i]!;
    return sum;
  });
  return { ...sae, config: { ...config, subtractDecoderBias: false }, b_enc: folded };
}
