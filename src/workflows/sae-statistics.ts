/**
 * What the weights of an SAE say of it: lengths of its rows, biases, thresholds, and decoder rows that are nearly the same.
 *
 *     near duplicate: max over g != f of cos(W_dec[f], W_dec[g]) > 0.95          of a sample of latents, where all pairs are too many
 */
import { getPlatform } from '../platform/index.ts';
import { rowNorms } from '../sae/formats/fold.ts';
import type { Sae } from '../sae/index.ts';
import { createProduct, latentTile, rowTile } from '../sae/product.ts';

/** The least, the median and the largest. */
export type Range = readonly [least: number, median: number, largest: number];

export type SaeStatistics = {
  readonly encoderNorm: Range;
  readonly decoderNorm: Range;
  readonly encoderBias: Range;
  readonly threshold?: Range;
  /** Latents with another one in nearly the same direction, of those looked at. */
  readonly nearDuplicates: {
    readonly found: number;
    readonly of: number;
    readonly examples: readonly (readonly [number, number])[];
  };
};

const DUPLICATE = 0.95;
/** Multiplications that a look may take: some seconds. */
const MOST_WORK = 5e10;
const EXAMPLES = 5;

export async function saeStatistics(
  { W_enc, W_dec, b_enc, threshold, config }: Sae,
  signal?: AbortSignal,
): Promise<SaeStatistics> {
  const { F } = config;
  const decoder = rowNorms(W_dec, F);
  return {
    encoderNorm: rangeOf(rowNorms(W_enc, F)),
    decoderNorm: rangeOf(decoder),
    encoderBias: rangeOf(b_enc),
    ...(threshold ? { threshold: rangeOf(threshold) } : {}),
    nearDuplicates: await duplicates(W_dec, decoder, F, signal),
  };
}

function rangeOf(values: Float32Array | Float64Array): Range {
  const sorted = values.slice().sort();
  return [sorted[0]!, sorted[sorted.length >> 1]!, sorted[sorted.length - 1]!];
}

async function duplicates(
  W: Float32Array,
  lengths: Float64Array,
  F: number,
  signal: AbortSignal | undefined,
): Promise<SaeStatistics['nearDuplicates']> {
  const D = W.length / F;
  const unit = W.map((value, i) => value / (lengths[Math.floor(i / D)]! || 1));
  const of = Math.min(F, Math.max(1, Math.floor(MOST_WORK / (F * D))));
  const product = await createProduct(getPlatform().threads);
  const best = new Float32Array(of);
  const partner = new Int32Array(of).fill(-1);
  try {
    const pre = new Float32Array(rowTile * latentTile);
    for (let first = 0; first < of; first += rowTile) {
      const rows = Math.min(rowTile, of - first);
      // Spread over all latents, and all of them where that is possible.
      const chosen = Array.from({ length: rows }, (_, r) => Math.floor(((first + r) * F) / of));
      const x = new Float32Array(rows * D);
      for (const [r, f] of chosen.entries()) x.set(unit.subarray(f * D, (f + 1) * D), r * D);
      for (let from = 0; from < F; from += latentTile) {
        signal?.throwIfAborted();
        const width = Math.min(latentTile, F - from);
        const tile = pre.subarray(0, rows * width);
        await product.run(x, unit.subarray(from * D, (from + width) * D), new Float32Array(width), tile, D);
        for (let r = 0; r < rows; r++)
          for (let g = 0; g < width; g++) {
            const cosine = tile[r * width + g]!;
            if (cosine <= best[first + r]! || from + g === chosen[r]) continue;
            best[first + r] = cosine;
            partner[first + r] = from + g;
          }
      }
    }
  } finally {
    await product.close();
  }
  const pairs: [number, number][] = [];
  best.forEach((cosine, i) => {
    if (cosine > DUPLICATE) pairs.push([Math.floor((i * F) / of), partner[i]!]);
  });
  return { found: pairs.length, of, examples: pairs.slice(0, EXAMPLES) };
}
