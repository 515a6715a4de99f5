/**
 * Files do not always say whether b_dec is subtracted before the encoder (SAELens `apply_b_dec_to_input`), and the wrong reading is plausible:
 * where the mean of the activations is small, FVU hardly changes. Rows are compared one by one, where a small change is certain.
 *
 *     d_i = e_i(other) - e_i(stated),  e_i = |x_i - xhat_i|^2;     t = mean d / (sd d / sqrt B)
 *
 * A trained encoder reads as it was trained: the stated reading of the right SAE explains more, t > 0.
 */
import { decode } from './decode.ts';
import { encode } from './encode.ts';
import type { Sae } from './types.ts';

/** A t of -4 comes by chance once in 30,000 samples. */
const LEAST_T = -4;
/** The rest of a larger sample would say the same. */
const MOST_ROWS = 1024;

/**
 * Why the reading of b_dec is wrong, or undefined: it is right, of no consequence, or not known.
 * @param x rows [B,D] of the hook that the SAE reads
 * @param stated of every row, |x_i - xhat_i|^2 as the SAE says that it is read [B]
 */
export async function wrongBiasReading(
  sae: Sae,
  x: Float32Array,
  stated: Float64Array,
  ids?: ArrayLike<number>,
): Promise<string | undefined> {
  const { D, Dout } = sae.config;
  if (Dout !== undefined || sae.b_dec.every((b) => b === 0)) return undefined;
  const B = Math.min(stated.length, MOST_ROWS);
  const rows = x.subarray(0, B * D);
  const subtracts = sae.config.subtractDecoderBias !== false;
  const other = { ...sae, config: { ...sae.config, subtractDecoderBias: !subtracts } } as Sae;
  const xhat = decode(other, await encode(other, rows), { x: rows, ...(ids ? { ids } : {}) });
  const difference = rowErrors(rows, xhat, B).map((e, i) => e - stated[i]!);
  const mean = difference.reduce((a, b) => a + b, 0) / B;
  const variance = difference.reduce((s, d) => s + (d - mean) ** 2, 0) / (B - 1);
  if (!(mean < LEAST_T * Math.sqrt(variance / B))) return undefined;
  const error = stated.subarray(0, B).reduce((a, b) => a + b, 0) / B;
  return `It explains more where b_dec is ${subtracts ? 'not ' : ''}subtracted before the encoder (${((-100 * mean) / error).toPrecision(2)} % less error): apply_b_dec_to_input is not as the file says.`;
}

/** |x_i - xhat_i|^2 of each of B rows. */
export function rowErrors(x: Float32Array, xhat: Float32Array, B: number): Float64Array {
  const width = x.length / B;
  const e = new Float64Array(B);
  for (const [i, value] of x.entries()) e[Math.floor(i / width)]! += (value - xhat[i]!) ** 2;
  return e;
}
