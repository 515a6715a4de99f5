/**
 * One pass over held-out text measures an SAE and all its controls.
 *
 *     every measured row:   FVU, cosine, L0, density, dead latents, single-token latents
 *     first `ceTokens`:     cross-entropy with each reconstruction spliced in, against clean, zeros and the mean activation
 *                             recovered = (CE_ref − CE_candidate) / (CE_ref − CE_clean),  ref = zero or mean ablation
 *     first `klTokens`:     KL(clean ‖ spliced)
 *
 * Nothing of size rows x F is ever held. Intervals: bootstrap over documents, all candidates on the same draws.
 */
import type { PackedRows } from '../data/types.ts';
import type { Tensor } from '../models/types.ts';
import { type EvalResult, evalResultSchema, evalSchemaVersion } from '../shared/eval.ts';
import { rowCosine } from './cosine.ts';
import { createScatter, squaredError } from './fvu.ts';
import { rowL0 } from './l0.ts';
import { klDivergence, logSumExp } from './next-token.ts';
import { measuredPositions, type PositionRules, scoredPositions } from './positions.ts';
import { summarize } from './result.ts';
import { createTokenTally } from './single-token.ts';
import { spliceRows } from './splice.ts';
import type { Candidate, EvalModel, ObservedRows } from './types.ts';
import { createUnitTable } from './unit-table.ts';

export type EvaluateProgress = { readonly rows: number; readonly maxRows: number; readonly ceTokens: number };

export type EvaluateOptions = PositionRules & {
  readonly model: EvalModel;
  readonly hook: string;
  /** Held-out text in an order without meaning (shuffled documents): the cross-entropy is taken from its beginning. */
  readonly batches: AsyncIterable<PackedRows> | Iterable<PackedRows>;
  /** At least one; the first is compared with every other. */
  readonly candidates: readonly Candidate[];
  /** Mean activation [D] of rows outside the held-out text, for mean ablation. */
  readonly mean: ArrayLike<number>;
  /** Stop after the batch that reaches this many measured rows. Default 500,000, what the definition of dead asks for. */
  readonly maxRows?: number;
  /** Predictions for the cross-entropies, counted in whole batches. Default 65,536. */
  readonly ceTokens?: number;
  /** Of these, predictions for KL. Default 16,384: it reads every logit. */
  readonly klTokens?: number;
  /** `sequences` where the corpus is one long document. Default `documents`. */
  readonly resample?: 'documents' | 'sequences';
  readonly seed?: string | number;
  readonly resamples?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: EvaluateProgress) => void;
  /** Sees every batch of measured rows; how the feature index rides along. */
  readonly observe?: (rows: ObservedRows) => void;
};

/**
 * Measures candidates on held-out text.
 *
 * @throws Error when there is no row to measure, a width does not fit, or a reconstruction or loss is not finite (names the candidate)
 * @example
 * const result = await evaluate({ model, hook, batches, mean, candidates: [saeCandidate('SAE', sae, { encode, decode }), pcaCandidate(pca)] });
 * console.log(formatEvalTable(result));
 */
export async function evaluate(options: EvaluateOptions): Promise<EvalResult> {
  const {
    model,
    hook,
    batches,
    candidates,
    mean,
    maxRows = 500_000,
    ceTokens = 65_536,
    klTokens = 16_384,
  } = options;
  const { resample = 'documents', seed = 0, resamples = 1000, signal, onProgress, observe } = options;
  const D = mean.length;
  checkNames(candidates);
  const measures = createMeasures(candidates, D);
  let rows = 0;
  let excludedRows = 0;
  let ceCount = 0;
  let klCount = 0;
  let sequences = 0;

  for await (const packed of batches) {
    signal?.throwIfAborted();
    const { R, T, ids, mask, documents } = packed;
    const firstSequence = sequences;
    sequences += R;
    const { positions, excluded } = measuredPositions(packed, options);
    excludedRows += excluded;
    const N = positions.length;
    if (N === 0) continue;

    const batch = { ids, mask, B: R, T };
    const scored = ceCount < ceTokens ? scoredPositions(packed, positions) : undefined;
    const clean = await model.run(batch, { hooks: [hook], logits: scored !== undefined });
    const activations = clean.cache[hook];
    if (activations === undefined)
      throw new Error(`evaluate: the model returned no activations for hook ${hook}.`);
    if (activations.dims.at(-1) !== D) {
      throw new Error(
        `evaluate: hook ${hook} is ${activations.dims.at(-1)} wide, the mean has ${D} entries; fit it at the same hook.`,
      );
    }
    const work: Work = {
      ...{ packed, positions, activations, x: gatherRows(activations, positions) },
      unitOf: (i) => (resample === 'documents' ? documents[i]! : firstSequence + Math.floor(i / T)),
    };
    const { reconstructions, code } = await measureRows(measures, candidates, work, rows);
    rows += N;
    observe?.({ packed, positions, x: work.x, code });

    if (scored !== undefined && clean.logits !== undefined) {
      const splice = (xhat: Float32Array) =>
        model.runFrom(hook, spliceRows(activations, positions, xhat), batch);
      const meanRows = new Float32Array(N * D);
      for (let r = 0; r < N; r++) meanRows.set(mean, r * D);
      const withKl = klCount < klTokens;
      await measureLosses(measures, work, scored, withKl, clean.logits, [
        { name: 'zero ablation', run: () => splice(new Float32Array(N * D)) },
        { name: 'mean ablation', run: () => splice(meanRows) },
        ...reconstructions.map((xhat, c) => ({ name: candidates[c]!.name, run: () => splice(xhat) })),
      ]);
      ceCount += scored.length;
      if (withKl) klCount += scored.length;
    }
    onProgress?.({ rows, maxRows, ceTokens: ceCount });
    if (rows >= maxRows) break;
  }
  if (rows === 0)
    throw new Error(
      'evaluate: no held-out token to measure; the text is empty or everything in it was excluded.',
    );

  for (const [u, scatter] of measures.scatter.perUnit().entries()) measures.rows.addAt(u, 1, scatter);
  return evalResultSchema.parse({
    schemaVersion: evalSchemaVersion,
    model: { name: model.info.name, hash: model.info.hash },
    hook,
    rows,
    excludedRows,
    ceTokens: ceCount,
    klTokens: klCount,
    ...summarize({
      candidates: candidates.map(({ name, kind }, c) => ({ name, kind, tally: measures.tallies[c] })),
      rows,
      rowSums: measures.rows.sums(),
      ceSums: measures.ce.sums(),
      klSums: measures.kl.sums(),
      unit: resample,
      seed,
      resamples,
    }),
  } satisfies EvalResult);
}

/** One batch on its way through the measurements. */
type Work = {
  readonly packed: PackedRows;
  readonly positions: Int32Array;
  /** [R,T,D] */
  readonly activations: Tensor;
  /** [N,D] */
  readonly x: Float32Array;
  /** Bootstrap unit of a flat position. */
  readonly unitOf: (position: number) => number;
};

type Measures = ReturnType<typeof createMeasures>;

/** Columns: rows [n, scatter, then squared error, cosine, l0 each]; ce [n, clean, zero, mean, then each]; kl [n, then each]. */
function createMeasures(candidates: readonly Candidate[], D: number) {
  return {
    rows: createUnitTable(2 + 3 * candidates.length),
    ce: createUnitTable(4 + candidates.length),
    kl: createUnitTable(1 + candidates.length),
    scatter: createScatter(D),
    tallies: candidates.map(({ latents }) => (latents === undefined ? undefined : createTokenTally(latents))),
  };
}

function checkNames(candidates: readonly Candidate[]): void {
  const names = candidates.map(({ name }) => name);
  if (names.length === 0) throw new Error('evaluate: no candidates; give at least one SAE or control.');
  if (new Set(names).size < names.length)
    throw new Error(`evaluate: two candidates share a name (${names.join(', ')}); rename one.`);
}

/** FVU, cosine, L0 and firings of every candidate; returns what the splice and the observer need. */
async function measureRows(
  { rows, scatter, tallies }: Measures,
  candidates: readonly Candidate[],
  work: Work,
  before: number,
) {
  const { x, positions, packed, unitOf } = work;
  const N = positions.length;
  const D = x.length / N;
  const units = Int32Array.from(positions, (i) => rows.indexOf(unitOf(i)));
  for (const u of units) rows.addAt(u, 0, 1);
  scatter.add(x, units, N);
  const reconstructions: Float32Array[] = [];
  let firstCode: ObservedRows['code'];
  for (const [c, { name, reconstruct }] of candidates.entries()) {
    const { xhat, code } = await reconstruct(x, N);
    if (xhat.length !== N * D)
      throw new Error(`evaluate: ${name} returned ${xhat.length} numbers for ${N} rows of width ${D}.`);
    const tally = tallies[c];
    if (code !== undefined && tally === undefined)
      throw new Error(`evaluate: ${name} returned a code; set its number of latents.`);
    for (let r = 0; r < N; r++) {
      const error = squaredError(x, xhat, r, D);
      if (!Number.isFinite(error))
        throw new Error(`evaluate: ${name} or its input is not finite at measured row ${before + r}.`);
      rows.addAt(units[r]!, 2 + 3 * c, error);
      rows.addAt(units[r]!, 3 + 3 * c, rowCosine(x, xhat, r, D));
      if (code === undefined || tally === undefined) continue;
      rows.addAt(units[r]!, 4 + 3 * c, rowL0(code, r));
      const token = packed.ids[positions[r]!]!;
      for (let k = r * code.K; k < (r + 1) * code.K; k++)
        if (code.values[k]! > 0) tally.add(code.indices[k]!, token);
    }
    reconstructions.push(xhat);
    firstCode ??= code;
  }
  return { reconstructions, code: firstCode };
}

/** Cross-entropies of the clean run and of every splice (zero, mean, then the candidates), and KL of the candidates. */
async function measureLosses(
  { ce, kl }: Measures,
  { packed: { ids, T }, unitOf }: Work,
  scored: Int32Array,
  withKl: boolean,
  clean: Tensor,
  splices: readonly { name: string; run: () => Promise<Tensor> }[],
): Promise<void> {
  const V = clean.dims.at(-1)!;
  const ceUnits = Int32Array.from(scored, (i) => ce.indexOf(unitOf(i)));
  const klUnits = withKl ? Int32Array.from(scored, (i) => kl.indexOf(unitOf(i))) : undefined;
  for (const u of ceUnits) ce.addAt(u, 0, 1);
  for (const u of klUnits ?? []) kl.addAt(u, 0, 1);

  const addLosses = (column: number, { data }: Tensor, name: string) =>
    Float64Array.from(scored, (i, s) => {
      const norm = logSumExp(data, i * V, V);
      const loss = norm - data[i * V + ids[i + 1]!]!;
      if (!Number.isFinite(loss))
        throw new Error(`evaluate: the loss of ${name} is not finite at position ${i % T} of a sequence.`);
      ce.addAt(ceUnits[s]!, column, loss);
      return norm;
    });

  const cleanNorms = addLosses(1, clean, 'the model');
  for (const [p, { name, run }] of splices.entries()) {
    const logits = await run();
    const norms = addLosses(2 + p, logits, name);
    if (klUnits === undefined || p < 2) continue;
    for (const [s, i] of scored.entries()) {
      kl.addAt(
        klUnits[s]!,
        p - 1,
        klDivergence(clean.data, cleanNorms[s]!, logits.data, norms[s]!, i * V, V),
      );
    }
  }
}

/** Rows [N,D] of activations [B,T,D] at flat positions [N]. */
function gatherRows({ data, dims }: Tensor, positions: Int32Array): Float32Array {
  const D = dims.at(-1)!;
  const x = new Float32Array(positions.length * D);
  for (let r = 0; r < positions.length; r++)
    x.set(data.subarray(positions[r]! * D, (positions[r]! + 1) * D), r * D);
  return x;
}
