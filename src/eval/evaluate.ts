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
import { measureLosses } from './measure-losses.ts';
import { measureRows } from './measure-rows.ts';
import { createMeasures } from './measures.ts';
import { measuredPositions, type PositionRules, scoredPositions } from './positions.ts';
import { summarize } from './result.ts';
import { gatherRows, spliceRows, widthOf } from './splice.ts';
import type { Candidate, EvalModel, ObservedRows } from './types.ts';

export type EvaluateProgress = { readonly rows: number; readonly maxRows: number; readonly ceTokens: number };

export type EvaluateOptions = PositionRules & {
  readonly model: EvalModel;
  readonly hook: string;
  /** Of transcoders: what they give, compared and replaced there. Default `hook`. */
  readonly outputHook?: string;
  /** Held-out text in an order without meaning (shuffled documents): the cross-entropy is taken from its beginning. */
  readonly batches: AsyncIterable<PackedRows> | Iterable<PackedRows>;
  /** At least one; the first is compared with every other. */
  readonly candidates: readonly Candidate[];
  /** Mean activation [D] at the hook that is replaced, of rows outside the held-out text, for mean ablation. */
  readonly mean: ArrayLike<number>;
  /** Stop after the batch that reaches this many measured rows. Default 500,000, what the definition of dead asks for. */
  readonly maxRows?: number;
  /** Predictions for the cross-entropies, counted in whole batches. Default 65,536; none in an encoder, which makes no predictions. */
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
  readonly observe?: (rows: ObservedRows) => void | Promise<void>;
};

/**
 * Measures candidates on held-out text.
 *
 * @throws Error when there is no row to measure, a width does not fit, or a reconstruction or loss is not finite (names the candidate)
 * @example
 * const result = await evaluate({ model, hook, batches, mean, candidates: [saeCandidate('SAE', sae), pcaCandidate(pca)] });
 * console.log(formatEvalTable(result));
 */
export async function evaluate(options: EvaluateOptions): Promise<EvalResult> {
  const { model, hook, outputHook = hook, batches, candidates, mean } = options;
  const { maxRows = 500_000, klTokens = 16_384 } = options;
  // An encoder predicts no next token: no cross-entropy, no KL.
  const ceTokens = model.info.encoder ? 0 : (options.ceTokens ?? 65_536);
  const { resample = 'documents', seed = 0, resamples = 1000, signal, onProgress, observe } = options;
  const stop = signal ? { signal } : {};
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
    const withCe = ceCount < ceTokens;
    const withKl = withCe && klCount < klTokens;
    const clean = await model.run(batch, { hooks: [...new Set([hook, outputHook])], ...stop });
    const at = (name: string): Tensor => {
      const found = clean.cache[name];
      if (found) return found;
      throw new Error(`evaluate: the model returned no activations for hook ${name}.`);
    };
    const activations = at(outputHook);
    if (widthOf(activations) !== D) {
      throw new Error(
        `evaluate: hook ${outputHook} is ${widthOf(activations)} wide, the mean has ${D} entries; fit it at the same hook.`,
      );
    }
    const x = gatherRows(at(hook), positions);
    const y = outputHook === hook ? x : gatherRows(activations, positions);
    const unitOf = (i: number) =>
      resample === 'documents' ? documents[i]! : firstSequence + Math.floor(i / T);
    const { reconstructions, code } = await measureRows(
      measures,
      candidates,
      { packed, positions, x, y, unitOf },
      rows,
    );
    rows += N;
    await observe?.({ packed, positions, x, code });

    if (withCe) {
      const scored = scoredPositions(packed, positions);
      const constantRows = (row: ArrayLike<number>) =>
        Float32Array.from({ length: N * D }, (_, i) => row[i % D]!);
      await measureLosses(measures, model, {
        ...{ hook: outputHook, batch, scored, unitOf, stop },
        clean: activations,
        splices: [
          {
            name: 'zero ablation',
            kl: false,
            activations: () => spliceRows(activations, positions, new Float32Array(N * D)),
          },
          {
            name: 'mean ablation',
            kl: false,
            activations: () => spliceRows(activations, positions, constantRows(mean)),
          },
          ...reconstructions.map((xhat, c) => ({
            name: candidates[c]!.name,
            kl: withKl,
            activations: () => spliceRows(activations, positions, xhat),
          })),
        ],
      });
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

  signal?.throwIfAborted();
  for (const [u, scatter] of measures.scatter.perUnit().entries()) measures.rows.addAt(u, 1, scatter);
  const { name, hash, quantization } = model.info;
  const summary = summarize({
    candidates: candidates.map(({ name, kind }, c) => ({ name, kind, tally: measures.tallies[c] })),
    rows,
    rowSums: measures.rows.sums(),
    ceSums: measures.ce.sums(),
    klSums: measures.kl.sums(),
    unit: resample,
    seed,
    resamples,
  });
  return evalResultSchema.parse({
    schemaVersion: evalSchemaVersion,
    model: { name, hash },
    hook,
    ...(outputHook === hook ? {} : { outputHook }),
    rows,
    excludedRows,
    ceTokens: ceCount,
    klTokens: klCount,
    ...summary,
    notes: [
      ...(quantization === undefined ? [] : [`The model's weights: ${quantization}.`]),
      ...summary.notes,
    ],
  } satisfies EvalResult);
}

/** @throws when there are none, or two of one name */
export function checkNames(candidates: readonly Candidate[]): void {
  const names = candidates.map(({ name }) => name);
  if (names.length === 0) throw new Error('evaluate: no candidates; give at least one SAE or control.');
  if (new Set(names).size < names.length)
    throw new Error(`evaluate: two candidates share a name (${names.join(', ')}); rename one.`);
}
