/**
 * Initialisation of a TopK SAE from a sample of raw activations [N,D] (Gao et al. 2024, appendix A.1).
 *
 *   s         = sqrt(D) / mean |x - mean x|            input scale; everything after it is in units of s x
 *   mseScale  = 1 / mean (s x - mean s x)^2            so that predicting the mean costs 1
 *   b_dec     = geometric median of s x
 *   W_dec     = random unit rows,  W_enc = c W_dec,  b_enc = 0
 *   c         : 256 random unit vectors u, fed as u + b_dec, come back with mean norm 1   (c = 1 / mean |TopK(u W_dec^T) W_dec|)
 */
import { pointer as at, createArena } from '../kernels/arena.ts';
import { createKernels, keyBytes } from '../kernels/kernels.ts';
import { getPlatform } from '../platform/index.ts';
import { createProduct, latentTile } from '../sae/product.ts';
import { createRng } from '../shared/rng.ts';
import type { Scales } from './step.ts';
import type { TrainerConfig } from './types.ts';

const probes = 256;

/** Everything of a start but the weights. */
export type RandomStart = {
  readonly scales: Scales;
  readonly b_dec: Float32Array;
  /** c: W_enc = c W_dec. */
  readonly encoderScale: number;
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
  return { inputScale, mseScale: (N * D) / (squares * inputScale ** 2), outputScale: inputScale };
}

/**
 * A random start. `take` gets the rows of W_dec in tiles, from latent `first` on, valid during the call: W_dec as a whole is never made
 * here. Throws as `scalesOf` does.
 */
export async function randomStart(
  config: TrainerConfig,
  sample: Float32Array,
  take: (rows: Float32Array, first: number) => Promise<void>,
): Promise<RandomStart> {
  const { D, F, K, seed, signed } = config;
  const scales = scalesOf(sample, D);
  const b_dec = Float32Array.from(geometricMedian(sample, D), (v) => v * scales.inputScale);
  const rng = createRng(`probe/${seed}`);
  const u = new Float32Array(probes * D);
  for (let row = 0; row < probes; row++) fillUnit(u.subarray(row * D, (row + 1) * D), () => rng.normal());

  const arena = createArena(8 * K * probes + 4 * probes * latentTile + keyBytes + 1024);
  const kernels = createKernels(arena.memory);
  const [values, latents] = [arena.f32(probes * K), arena.i32(probes * K)];
  const pre = arena.f32(probes * latentTile);
  const keys = at(arena.u8(keyBytes));
  const product = await createProduct(getPlatform().threads);
  const tile = new Float32Array(Math.min(F, latentTile) * D);
  for (let first = 0; first < F; first += latentTile) {
    const n = Math.min(latentTile, F - first);
    const rows = tile.subarray(0, n * D);
    for (let i = 0; i < n; i++) fillDirection(rows.subarray(i * D, (i + 1) * D), first + i, seed);
    await product.run(u, rows, new Float32Array(n), pre.subarray(0, probes * n), D);
    if (signed) kernels.foldSign(at(pre), probes * n);
    kernels.selectTile(at(pre), probes, n, first, at(values), at(latents), K, keys);
    await take(rows, first);
  }
  await product.close();
  if (signed) kernels.unfoldSign(at(values), probes * K);
  // Every direction that was chosen is made once more, whichever rows chose it.
  const entries = Array.from(values.keys()).filter((j) => values[j] !== 0);
  entries.sort((i, j) => latents[i]! - latents[j]!);
  const out = new Float32Array(probes * D);
  const direction = new Float32Array(D);
  let made = -1;
  for (const j of entries) {
    const latent = latents[j]!;
    if (latent !== made) fillDirection(direction, latent, seed);
    made = latent;
    const row = out.subarray(Math.floor(j / K) * D, (Math.floor(j / K) + 1) * D);
    for (let d = 0; d < D; d++) row[d]! += values[j]! * direction[d]!;
  }
  let reached = 0;
  for (let row = 0; row < probes; row++) {
    let square = 0;
    for (let d = row * D; d < (row + 1) * D; d++) square += out[d]! ** 2;
    reached += Math.sqrt(square);
  }
  return { scales, b_dec, encoderScale: probes / reached };
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

/** Direction of latent i: each has its own stream, so the shards it falls into do not matter. */
export function fillDirection(row: Float32Array, i: number, seed: number | string): void {
  const rng = createRng(typeof seed === 'number' ? seed * 2 ** 32 + i : `${seed}/${i}`);
  fillUnit(row, () => rng.normal());
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
