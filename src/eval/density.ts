/**
 * Firing density: freq_f = |{b : z_bf > 0}| / rows, shown as a histogram of log10 freq_f, and the dead latents at its end.
 *
 * Edges are quarter decades from 10^-6 to 1. A latent that fired, however rarely, is never counted as dead: it falls in the first bin.
 */
import type { Density } from '../shared/eval.ts';

/** A latent is called dead only when it fired on none of this many tokens (issue: ">= 500k held-out tokens"). */
export const deadTokensNeeded = 500_000;

const decades = 6;
const binsPerDecade = 4;

/** The histogram of firing counts [F] over `rows` tokens. */
export function densityHistogram(counts: ArrayLike<number>, rows: number): Density {
  const bins = decades * binsPerDecade;
  const edges = Array.from({ length: bins + 1 }, (_, i) => i / binsPerDecade - decades);
  const histogram = new Array<number>(bins).fill(0);
  let never = 0;
  for (let f = 0; f < counts.length; f++) {
    if (counts[f] === 0) {
      never++;
      continue;
    }
    const bin = Math.floor((Math.log10(counts[f]! / rows) + decades) * binsPerDecade);
    histogram[Math.min(bins - 1, Math.max(0, bin))]!++;
  }
  return { edges, counts: histogram, never };
}
