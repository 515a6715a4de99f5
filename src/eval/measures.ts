/** What the evaluator accumulates over the stream: sums per bootstrap unit, scatter, firings. */
import { createScatter } from './fvu.ts';
import { createTokenTally } from './single-token.ts';
import type { Candidate } from './types.ts';
import { createUnitTable } from './unit-table.ts';

export type Measures = ReturnType<typeof createMeasures>;

/** Columns: rows [n, scatter, then squared error, cosine, l0 each]; ce [n, clean, zero, mean, then each]; kl [n, then each]. */
export function createMeasures(candidates: readonly Candidate[], D: number) {
  return {
    rows: createUnitTable(2 + 3 * candidates.length),
    ce: createUnitTable(4 + candidates.length),
    kl: createUnitTable(1 + candidates.length),
    scatter: createScatter(D),
    tallies: candidates.map(({ latents }) => (latents === undefined ? undefined : createTokenTally(latents))),
  };
}
