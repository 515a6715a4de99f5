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
