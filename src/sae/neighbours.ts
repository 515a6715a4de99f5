/**
 * Latents that write alike, from rows of W_dec [F,D] read a block at a time.
 *
 *     cos_g = W_dec[g] . W_dec[f] / (|W_dec[g]| |W_dec[f]|)
 */
import { readRows } from '../formats/index.ts';
import { outputWidth } from './check.ts';
import type { OpenedSae } from './load.ts';
import type { Sae } from './types.ts';

/** Bytes of a block. */
const BLOCK = 2 ** 24;

export type DecoderRows = {
  readonly F: number;
  readonly D: number;
  /** Rows [from, from + count) as [count,D]. */
  read(from: number, count: number): Promise<Float32Array>;
};

export const rowsInMemory = ({ config: { F }, W_dec }: Sae): DecoderRows => {
  const D = W_dec.length / F;
  return { F, D, read: async (from, count) => W_dec.subarray(from * D, (from + count) * D) };
};

/** undefined where the rows in the file are not those of the loaded SAE, up to a positive factor, or do not lie one after the other. */
export function rowsInFile({ plan: { config, arrays, fold } }: OpenedSae): DecoderRows | undefined {
  const { W_dec } = arrays;
  if (fold || W_dec === undefined || W_dec instanceof Float32Array) return undefined;
  if (W_dec.transposed || W_dec.from || W_dec.change) return undefined;
  const { tensor } = W_dec;
  const [F, D] = [config.F, outputWidth(config)];
  return { F, D, read: (from, count) => readRows(tensor, [F, D], false, from, count) };
}

/** The `count` latents with the largest cosines, nearest first; without the latent itself and without rows of length 0. */
export async function decoderNeighbours(
  { F, D, read }: DecoderRows,
  latent: number,
  count: number,
  signal?: AbortSignal,
): Promise<{ latent: number; cosine: number }[]> {
  const own = await read(latent, 1);
  const norm = Math.hypot(...own);
  const cosines = new Float64Array(F).fill(Number.NEGATIVE_INFINITY);
  const atOnce = Math.max(1, Math.floor(BLOCK / (4 * D)));
  for (let from = 0; from < F && norm > 0; from += atOnce) {
    signal?.throwIfAborted();
    const rows = await read(from, Math.min(atOnce, F - from));
    for (let i = 0, at = 0; at < rows.length; i++, at += D) {
      let [product, square] = [0, 0];
      for (let d = 0; d < D; d++) {
        const value = rows[at + d]!;
        product += value * own[d]!;
        square += value * value;
      }
      if (square > 0) cosines[from + i] = product / (norm * Math.sqrt(square));
    }
  }
  cosines[latent] = Number.NEGATIVE_INFINITY;
  const least = cosines.toSorted()[Math.max(0, F - count)]!;
  const found: { latent: number; cosine: number }[] = [];
  for (const [g, cosine] of cosines.entries())
    if (cosine >= least && cosine > Number.NEGATIVE_INFINITY) found.push({ latent: g, cosine });
  return found.sort((a, b) => b.cosine - a.cosine || a.latent - b.latent).slice(0, count);
}
