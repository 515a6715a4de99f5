/**
 * The metrics that need no model, on stored activations: FVU, cosine, L0, density, dead latents, and single-token latents where token ids
 * are stored. What needs one (cross-entropy, KL) is null. Intervals: bootstrap over blocks of neighbouring rows, since neighbours
 * are mostly of one text.
 */
import { type EvalResult, evalResultSchema, evalSchemaVersion } from '../shared/eval.ts';
import { checkNames } from './evaluate.ts';
import { measureRows } from './measure-rows.ts';
import { createMeasures } from './measures.ts';
import { summarize } from './result.ts';
import type { Candidate } from './types.ts';

type RowBatch = {
  readonly x: Float32Array;
  readonly tokens: Int32Array;
  readonly blocks: Int32Array;
};

export type EvaluateRowsOptions = {
  /** Whose rows they are, for the result. */
  readonly model: EvalResult['model'];
  readonly hook: string;
  readonly D: number;
  /** Rows [N,D] with token ids [N], -1 where unknown, and the block that each belongs to [N]. */
  readonly batches: AsyncIterable<RowBatch> | Iterable<RowBatch>;
  /** At least one; the first is compared with every other. */
  readonly candidates: readonly Candidate[];
  readonly maxRows?: number;
  readonly seed?: string | number;
  readonly resamples?: number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((rows: number, maxRows: number) => void) | undefined;
};

/**
 * Measures candidates on rows.
 *
 * @throws Error when there is no row, or a row or reconstruction is not finite (names the candidate)
 */
export async function evaluateRows(options: EvaluateRowsOptions): Promise<EvalResult> {
  const { model, hook, D, batches, candidates, maxRows = 500_000, seed = 0, resamples = 1000 } = options;
  checkNames(candidates);
  const measures = createMeasures(candidates, D);
  let rows = 0;
  for await (const { x, tokens, blocks } of batches) {
    options.signal?.throwIfAborted();
    const N = tokens.length;
    const packed = {
      ...{ R: N, T: 1, ids: tokens, mask: new Uint8Array(N).fill(1), documents: new Int32Array(N) },
      ...{ starts: new Int32Array(N).fill(-1), ends: new Int32Array(N).fill(-1) },
    };
    await measureRows(
      measures,
      candidates,
      {
        packed,
        positions: Int32Array.from({ length: N }, (_, i) => i),
        x,
        unitOf: (i) => blocks[i]!,
      },
      rows,
    );
    rows += N;
    options.onProgress?.(rows, maxRows);
    if (rows >= maxRows) break;
  }
  if (rows === 0) throw new Error('There are no held-out rows to measure.');
  options.signal?.throwIfAborted();
  for (const [u, scatter] of measures.scatter.perUnit().entries()) measures.rows.addAt(u, 1, scatter);
  return evalResultSchema.parse({
    schemaVersion: evalSchemaVersion,
    // A whole ModelInfo will do.
    model: { name: model.name, hash: model.hash },
    hook,
    rows,
    excludedRows: 0,
    ceTokens: 0,
    klTokens: 0,
    ...summarize({
      candidates: candidates.map(({ name, kind }, c) => ({ name, kind, tally: measures.tallies[c] })),
      rows,
      rowSums: measures.rows.sums(),
      ceSums: measures.ce.sums(),
      klSums: measures.kl.sums(),
      unit: 'blocks',
      seed,
      resamples,
    }),
  } satisfies EvalResult);
}
