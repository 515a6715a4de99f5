/**
 * What screening knows of the latents: W_enc in float32 and rounded to 8 bits, w_i = sw_i qw_i + ew_i, with |w_i| and |ew_i| rounded up.
 *
 * W_enc and the biases lie in one memory that all lanes read, followed by a region for each lane (rows.ts).
 */
import { type Arena, pointer as at, createArena, maximumBytes, openArena } from '../../kernels/arena.ts';
import { createKernels, keyBytes } from '../../kernels/kernels.ts';
import { latentTile } from '../product.ts';
import type { InputNorm, Sae } from '../types.ts';
import type { RankOrThreshold } from '../variants/variant.ts';

/** Rows that a lane takes at once: every tile of rows reads W_enc once from memory. */
export const rowTile = 1024;
/** Relative, far above what float32 loses in the few steps from the integer product to a bound. */
export const slack = 2 ** -20;

/** P is D, padded to a multiple of 16; capacity the most candidates of a row. */
export type Sizes = {
  readonly D: number;
  readonly F: number;
  readonly P: number;
  readonly K: number;
  readonly padded: number;
  readonly capacity: number;
};

/** Structured-cloneable into workers. */
export type Latents = Sizes & {
  readonly memory: WebAssembly.Memory;
  /** Addresses of W_enc [F,P] and the biases [F], and where the lanes' regions begin. */
  readonly W: number;
  readonly bias: number;
  readonly regions: number;
  /** sw, |w|, |ew| and b_enc - theta [padded]. */
  readonly scale: Float32Array;
  readonly norm: Float32Array;
  readonly error: Float32Array;
  readonly offset: Float32Array;
  /** Of every 16 latents: 1 / scale, norm, error, offset at the largest, `stride` apart. */
  readonly groups: Float32Array;
  readonly stride: number;
  readonly meanNorm: number;
  readonly meanError: number;
  readonly selection: RankOrThreshold;
  readonly inputNorm: InputNorm | undefined;
  /** What the encoder subtracts from x. */
  readonly centre: Float32Array | undefined;
};

export function sizesOf({ D, F }: Sae['config'], selection: RankOrThreshold): Sizes {
  const K = selection.by === 'rank' ? selection.K : 0;
  // More candidates than this cost what the float32 product costs.
  const capacity = roundUp(Math.min(F, Math.max(8 * K, 64, F / 16)), 4);
  return { D, F, K, P: roundUp(D, 16), padded: roundUp(F, 16), capacity };
}

/** Bounds of |v| and |e| from sums of squares in float32. */
export function boundsOf(squares: number, errors: number, P: number): [number, number] {
  const grown = 1 + P * 2 ** -22;
  const norm = Math.sqrt(squares) * grown + 1e-20;
  return [norm, Math.sqrt(errors) * grown + norm * slack + 1e-20];
}

/** A lane's arrays beside W_enc: rows, their candidates by row and by latent, and the best of them. */
export const openRegion = (arena: Arena, { P, F, K, capacity }: Sizes) => ({
  x: arena.f32(rowTile * P),
  q: arena.u8(rowTile * P),
  scale: arena.f32(rowTile),
  squares: arena.f32(rowTile),
  errors: arena.f32(rowTile),
  rowStart: arena.i32(rowTile + 1),
  latents: arena.i32(rowTile * capacity),
  numbers: arena.i32(rowTile * capacity),
  values: arena.f32(rowTile * capacity),
  latentStart: arena.i32(F + 1),
  cursor: arena.i32(F),
  rowsByLatent: arena.i32(rowTile * capacity),
  numbersByLatent: arena.i32(rowTile * capacity),
  bestValues: arena.f32(rowTile * K),
  bestLatents: arena.i32(rowTile * K),
  keys: arena.u8(keyBytes),
});

export const regionBytes = ({ P, F, K, capacity }: Sizes): number =>
  rowTile * (5 * P + 20 * capacity + 8 * K + 16) + 8 * F + keyBytes + 16 * 64;

/** How many lanes have room beside W_enc, at most `wanted`. */
export const lanesThatFit = (sizes: Sizes, wanted: number): number =>
  Math.max(1, Math.min(wanted, Math.floor((maximumBytes - weightBytes(sizes)) / regionBytes(sizes))));

const weightBytes = ({ padded, P }: Sizes): number => 4 * padded * (P + 1) + 1024;

/**
 * Rounds W_enc. Beside what is known of the latents: the rounded weights, as tiles [P,width] of up to `latentTile` latents.
 *
 * @param b_enc [F] as the selection needs it
 * @param mostWeight weights are rounded to [-mostWeight, mostWeight]
 * @throws when a weight is not finite; beyond 4 GiB
 */
export function prepareLatents(
  sae: Sae,
  selection: RankOrThreshold,
  centre: Float32Array | undefined,
  b_enc: Float32Array,
  { mostWeight, lanes, shared }: { mostWeight: number; lanes: number; shared: boolean },
): { latents: Latents; tiles: Int8Array[] } {
  const sizes = sizesOf(sae.config, selection);
  const { D, F, P, padded } = sizes;
  const arena = createArena(weightBytes(sizes) + lanes * regionBytes(sizes), { shared });
  const kernels = createKernels(arena.memory);
  const W = arena.f32(padded * P);
  for (let i = 0; i < F; i++) W.set(sae.W_enc.subarray(i * D, (i + 1) * D), i * P);
  const bias = arena.f32(padded);
  bias.set(b_enc);
  const regions = arena.end();

  // The lanes' regions are free until they begin.
  const { x: _, q, ...row } = openRegion(openArena(arena.memory, regions), sizes);
  const [scale, norm, error] = [new Float32Array(padded), new Float32Array(padded), new Float32Array(padded)];
  const tiles: Int8Array[] = [];
  for (let first = 0; first < padded; first += latentTile)
    tiles.push(new Int8Array(P * Math.min(latentTile, padded - first)));
  for (let i = 0; i < padded; i += rowTile) {
    const n = Math.min(rowTile, padded - i);
    // biome-ignore format: grouped as in the kernel
    kernels.quantiseRows(at(W) + 4 * i * P, n, P, mostWeight, at(q), at(row.scale), at(row.squares), at(row.errors));
    for (let j = 0; j < n; j++) {
      scale[i + j] = row.scale[j]!;
      [norm[i + j], error[i + j]] = boundsOf(row.squares[j]!, row.errors[j]!, P);
      if (!Number.isFinite(norm[i + j])) throw new RangeError(`W_enc of latent ${i + j} is not finite.`);
      const tile = tiles[Math.floor((i + j) / latentTile)]!;
      transpose(q.subarray(j * P, (j + 1) * P), tile, (i + j) % latentTile);
    }
  }
  const offset = new Float32Array(padded).fill(Number.NEGATIVE_INFINITY);
  let [meanNorm, meanError] = [0, 0];
  for (let i = 0; i < F; i++) {
    const theta = selection.by === 'threshold' ? selection.threshold[i]! : 0;
    offset[i] =
      b_enc[i]! - theta + (theta === Infinity ? 0 : slack * (Math.abs(b_enc[i]!) + Math.abs(theta)) + 1e-30);
    meanNorm += norm[i]! / F;
    meanError += error[i]! / F;
  }
  const stride = roundUp(padded / 16, 4);
  const groups = new Float32Array(4 * stride);
  for (let g = 0; 16 * g < padded; g++)
    for (const [n, array] of [scale, norm, error, offset].entries()) {
      const largest = array
        .subarray(16 * g, 16 * (g + 1))
        .reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
      groups[n * stride + g] = n > 0 ? largest : largest > 0 ? 1 / largest : 0;
    }
  const latents: Latents = {
    ...sizes,
    ...{ memory: arena.memory, W: at(W), bias: at(bias), regions },
    ...{ scale, norm, error, offset, groups, stride, meanNorm, meanError },
    ...{ selection, inputNorm: sae.config.inputNorm, centre },
  };
  return { latents, tiles };
}

const roundUp = (n: number, multiple: number): number => Math.ceil(n / multiple) * multiple;

/** One latent's bytes with zero point 128 -> column `column` of W [P,width]. */
function transpose(bytes: Uint8Array, W: Int8Array, column: number): void {
  const width = W.length / bytes.length;
  for (let p = 0; p < bytes.length; p++) W[p * width + column] = bytes[p]! - 128;
}
