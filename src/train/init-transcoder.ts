/**
 * A random start of a transcoder from rows x [N,D] that it reads and y [N,Dout] that it is to give.
 *
 *   s_x, s_y, mseScale    as of an SAE (init.ts): s_x of x, the others of y
 *   c                     geometric median of s_x x,   b_dec that of s_y y
 *   W_dec, W_enc          random unit rows, those of W_enc times 0.1 and with no part in W_dec: the two places are different spaces
 *   b_enc, W_skip         0
 *
 * So the first outputs are small, and a bad guess costs little; the size 0.1 is ours.
 */
import { outputWidth } from '../sae/check.ts';
import { fillDirection, geometricMedian, scalesOf } from './init.ts';
import { scaleInPlace } from './init-from.ts';
import type { State } from './state.ts';
import type { Scales } from './step.ts';
import type { TrainerConfig } from './types.ts';

const encoderNorm = 0.1;
/** Rows that are made at a time. */
const tile = 2048;

/** Writes the weights, and returns the scales. Throws as `scalesOf` does, for either place. */
export async function startTranscoder(
  config: TrainerConfig,
  x: Float32Array,
  y: Float32Array,
  state: State,
): Promise<Scales> {
  const { D, F, seed } = config;
  const Dout = outputWidth(config);
  const { inputScale } = scalesOf(x, D);
  const { inputScale: outputScale, mseScale } = scalesOf(y, Dout);
  for (let first = 0; first < F; first += tile) {
    const n = Math.min(tile, F - first);
    const encoder = randomRows(n, D, first, `${seed}/encoder`);
    scaleInPlace(encoder, encoderNorm);
    await state.write('W_enc', encoder, first * D);
    await state.write('W_dec', randomRows(n, Dout, first, seed), first * Dout);
  }
  const median = (rows: Float32Array, width: number, scale: number): Float32Array =>
    Float32Array.from(geometricMedian(rows, width), (v) => v * scale);
  await state.write('b_enc', new Float32Array(F));
  await state.write('centre', median(x, D, inputScale));
  await state.write('b_dec', median(y, Dout, outputScale));
  return { inputScale, mseScale, outputScale };
}

/** Unit rows [n,width] of latents from `first` on. */
function randomRows(n: number, width: number, first: number, seed: number | string): Float32Array {
  const rows = new Float32Array(n * width);
  for (let i = 0; i < n; i++) fillDirection(rows.subarray(i * width, (i + 1) * width), first + i, seed);
  return rows;
}
