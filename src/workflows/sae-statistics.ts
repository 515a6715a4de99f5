/**
 * What the weights of an SAE say of it: lengths of its rows, biases, thresholds, and decoder rows that are nearly the same.
 *
 *     near duplicate: max over g != f of cos(W_dec[f], W_dec[g]) > 0.95          of a sample of latents, where all pairs are too many
 */
import { nearestRows } from '../explain/tables/index.ts';
import { rowNorms } from '../sae/formats/fold.ts';
import type { Sae } from '../sae/index.ts';

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
    nearDuplicates: await duplicates(W_dec, F, signal),
  };
}

function rangeOf(values: Float32Array | Float64Array): Range {
  const sorted = values.slice().sort();
  return [sorted[0]!, sorted[sorted.length >> 1]!, sorted[sorted.length - 1]!];
}

async function duplicates(
  W: Float32Array,
  F: number,
  signal: AbortSignal | undefined,
): Promise<SaeStatistics['nearDuplicates']> {
  const of = Math.min(F, Math.max(1, Math.floor(MOST_WORK / W.length)));
  // Spread over all latents, and all of them where that is possible.
  const chosen = Array.from({ length: of }, (_, i) => Math.floor((i * F) / of));
  const { latents, cosines } = await nearestRows(W, F, chosen, 1, signal ? { signal } : {});
  const pairs: [number, number][] = chosen.flatMap((latent, i) =>
    cosines[i]! > DUPLICATE ? [[latent, latents[i]!]] : [],
  );
  return { found: pairs.length, of, examples: pairs.slice(0, EXAMPLES) };
}
