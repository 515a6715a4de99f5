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
 */
export async function wrongBiasReading(
  sae: Sae,
  x: Float32Array,
  ids?: ArrayLike<number>,
): Promise<string | undefined> {
  const { D, Dout } = sae.config;
  if (Dout !== undefined || sae.b_dec.every((b) => b === 0)) return undefined;
  const rows = x.subarray(0, MOST_ROWS * D);
  const B = rows.length / D;
  const subtracts = sae.config.subtractDecoderBias !== false;
  const other = { ...sae, config: { ...sae.config, subtractDecoderBias: !subtracts } } as Sae;
  const [stated, otherwise] = [await errors(sae, rows, ids), await errors(other, rows, ids)];
  const [sum, otherSum] = [stated, otherwise].map((e) => e.reduce((a, b) => a + b, 0)) as [number, number];
  const mean = (otherSum - sum) / B;
  const variance = stated.reduce((s, e, i) => s + (otherwise[i]! - e - mean) ** 2, 0) / (B - 1);
  if (!(mean < LEAST_T * Math.sqrt(variance / B))) return undefined;
  return `It explains more where b_dec is ${subtracts ? 'not ' : ''}subtracted before the encoder (${(100 * (1 - otherSum / sum)).toPrecision(2)} % less error): apply_b_dec_to_input is not as the file says.`;
}

/** |x_i - xhat_i|^2 of every row. */
async function errors(sae: Sae, x: Float32Array, ids?: ArrayLike<number>): Promise<Float64Array> {
  const { D } = sae.config;
  const xhat = decode(sae, await encode(sae, x), { x, ...(ids ? { ids } : {}) });
  const e = new Float64Array(x.length / D);
  for (const [i, value] of x.entries()) e[Math.floor(i / D)]! += (value - xhat[i]!) ** 2;
  return e;
}
