/**
 * Initialisation of a TopK SAE from a sample of raw activations [N,D] (Gao et al. 2024, appendix A.1).
 *
 *   s         = sqrt(D) / mean |x - mean x|            input scale; everything after it is in units of s x
 *   mseScale  = 1 / mean (s x - mean s x)^2            so that predicting the mean costs 1
 *   b_dec     = geometric median of s x
 *   W_dec     = random unit rows,  W_enc = c W_dec,  b_enc = 0
 *   c         : 256 random unit vectors u, fed as u + b_dec, come back with mean norm 1
 */
import { createEncoder, decode } from '../sae/topk.ts';
import { createRng } from '../shared/rng.ts';
import type { Scales } from './step.ts';
import type { TrainerConfig } from './types.ts';

const probes = 256;

export type Initial = {
  readonly scales: Scales;
  readonly b_dec: Float32Array;
  readonly W_enc: Float32Array;
  readonly b_enc: Float32Array;
  readonly W_dec: Float32Array;
};

/** s and mseScale. Throws when the sample [N,D] is empty, constant, or holds a number that is not finite. */
export function scalesOf(sample: Float32Array, D: number): Scales {
  const N = sample.length / D;
  if (!Number.isInteger(N) || N < 2)
    throw new Error(
      `Initialisation needs at least 2 whole rows of width ${D}; it was given ${sample.length} numbers.`,
    );
  const bad = sample.findIndex((v) => !Number.isFinite(v));
  if (bad >= 0)
    throw new Error(
      `Activation row ${Math.floor(bad / D)} of the first ${N} holds ${sample[bad]} at position ${bad % D}. Models in float16 overflow this way; try float32 weights or another hook.`,
    );

  const mean = columnMeans(sample, D);
  let norms = 0;
  let squares = 0;
  for (let n = 0; n < N; n++) {
    let square = 0;
    for (let d = 0; d < D; d++) square += (sample[n * D + d]! - mean[d]!) ** 2;
    norms += Math.sqrt(square);
    squares += square;
  }
  if (squares === 0)
    throw new Error(`All ${N} sampled activation rows are equal: there is nothing to learn from this hook.`);
  const inputScale = Math.sqrt(D) / (norms / N);
  return { inputScale, mseScale: (N * D) / (squares * inputScale ** 2) };
}

/** A random start. Throws as `scalesOf` does. */
export async function initialParameters(config: TrainerConfig, sample: Float32Array): Promise<Initial> {
  const { D, F, K, seed } = config;
  const scales = scalesOf(sample, D);
  const { inputScale } = scales;
  const b_dec = Float32Array.from(geometricMedian(sample, D), (v) => v * inputScale);
  const W_dec = unitRows(F, D, seed);
  const rng = createRng(`probe/${seed}`);
  const u = new Float32Array(probes * D);
  for (let row = 0; row < probes; row++) fillUnit(u.subarray(row * D, (row + 1) * D), () => rng.normal());
  const zero = new Float32Array(D);
  const sae = {
    config: { architecture: 'topk' as const, D, F, K, metadata: {} },
    W_enc: W_dec,
    W_dec,
    b_enc: new Float32Array(F),
    b_dec: zero,
  };
  const encoder = await createEncoder(sae);
  const out = decode(sae, await encoder.encode(u));
  await encoder.close();
  let reached = 0;
  for (let row = 0; row < probes; row++) reached += Math.hypot(...out.subarray(row * D, (row + 1) * D));
  const W_enc = W_dec.map((v) => (v * probes) / reached);
  return { scales, b_dec, W_enc, b_enc: new Float32Array(F), W_dec };
}

/**
 * The point with the least sum of distances to the rows x [N,D], by Weiszfeld's iteration from the mean:
 * g <- sum w_n x_n / sum w_n, w_n = 1 / |x_n - g|; at most 100 times, until it moves by less than 1e-5 of its norm.
 */
export function geometricMedian(x: Float32Array, D: number): Float64Array {
  const N = x.length / D;
  let g = columnMeans(x, D);
  for (let iteration = 0; iteration < 100; iteration++) {
    const next = new Float64Array(D);
    let total = 0;
    for (let n = 0; n < N; n++) {
      let square = 0;
      for (let d = 0; d < D; d++) square += (x[n * D + d]! - g[d]!) ** 2;
      const w = 1 / Math.max(Math.sqrt(square), 1e-12);
      total += w;
      for (let d = 0; d < D; d++) next[d]! += w * x[n * D + d]!;
    }
    for (let d = 0; d < D; d++) next[d]! /= total;
    const moved = Math.hypot(...next.map((v, d) => v - g[d]!));
    const norm = Math.max(Math.hypot(...g), 1e-12);
    g = next;
    if (moved < 1e-5 * norm) break;
  }
  return g;
}

/** F random directions [F,D]; every latent has its own stream, so the shards it falls into do not matter. */
function unitRows(F: number, D: number, seed: number): Float32Array {
  const W = new Float32Array(F * D);
  for (let i = 0; i < F; i++) {
    const rng = createRng(seed * 2 ** 32 + i);
    fillUnit(W.subarray(i * D, (i + 1) * D), () => rng.normal());
  }
  return W;
}

function fillUnit(row: Float32Array, normal: () => number): void {
  for (let d = 0; d < row.length; d++) row[d] = normal();
  const norm = Math.hypot(...row);
  for (let d = 0; d < row.length; d++) row[d]! /= norm;
}

function columnMeans(x: Float32Array, D: number): Float64Array {
  const mean = new Float64Array(D);
  for (let j = 0; j < x.length; j++) mean[j % D]! += x[j]!;
  return mean.map((v) => (v * D) / x.length);
}
