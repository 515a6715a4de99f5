/** The metrics of predictions: the model continues with every reconstruction in place of its own activations. */
import type { Tensor, TokenBatch } from '../models/types.ts';
import type { Measures } from './measures.ts';
import { klDivergence, logSumExp } from './next-token.ts';
import type { EvalModel } from './types.ts';

export /** One batch whose predictions are scored. */
type Predictions = {
  readonly hook: string;
  readonly batch: TokenBatch;
  readonly scored: Int32Array;
  readonly unitOf: (position: number) => number;
  /** Logits are there when KL is wanted. */
  readonly clean: { readonly activations: Tensor; readonly logits: Tensor | undefined };
  /** For the runs of the model. */
  readonly stop: { readonly signal?: AbortSignal };
  /** Zero, mean, then the candidates; activations [B,T,D] are made one after the other. */
  readonly splices: readonly {
    readonly name: string;
    readonly kl: boolean;
    readonly activations: () => Tensor;
  }[];
};

/**
 * Cross-entropies of the clean run and of every splice, and KL where it is wanted. Only KL needs logits outside the engine; all other
 * losses are made inside it, continuing from the hook (the clean ones too: from the model's own activations).
 */
export async function measureLosses(
  { ce, kl }: Measures,
  model: EvalModel,
  { hook, batch, scored, unitOf, clean, stop, splices }: Predictions,
) {
  const { ids, T } = batch;
  const V = clean.logits?.dims.at(-1) ?? 0;
  const ceUnits = Int32Array.from(scored, (i) => ce.indexOf(unitOf(i)));
  const klUnits = clean.logits && Int32Array.from(scored, (i) => kl.indexOf(unitOf(i)));
  for (const u of ceUnits) ce.addAt(u, 0, 1);
  for (const u of klUnits ?? []) kl.addAt(u, 0, 1);

  function addLosses(column: number, name: string, lossAt: (s: number, i: number) => number): void {
    for (const [s, i] of scored.entries()) {
      const loss = lossAt(s, i);
      if (!Number.isFinite(loss))
        throw new Error(`evaluate: the loss of ${name} is not finite at position ${i % T} of a sequence.`);
      ce.addAt(ceUnits[s]!, column, loss);
    }
  }
  async function engineLosses(column: number, name: string, activations: Tensor): Promise<void> {
    const { data } = await model.lossPerToken(batch, { from: { hook, activations }, ...stop });
    addLosses(column, name, (_, i) => data[Math.floor(i / T) * (T - 1) + (i % T)]!);
  }
  function logitLosses(column: number, name: string, { data }: Tensor): Float64Array {
    const norms = Float64Array.from(scored, (i) => logSumExp(data, i * V, V));
    addLosses(column, name, (s, i) => norms[s]! - data[i * V + ids[i + 1]!]!);
    return norms;
  }

  const cleanNorms = clean.logits && logitLosses(1, 'the model', clean.logits);
  if (cleanNorms === undefined) await engineLosses(1, 'the model', clean.activations);
  for (const [p, splice] of splices.entries()) {
    if (!splice.kl || !clean.logits || !cleanNorms || !klUnits) {
      await engineLosses(2 + p, splice.name, splice.activations());
      continue;
    }
    const logits = await model.runFrom(hook, splice.activations(), batch, stop);
    const norms = logitLosses(2 + p, splice.name, logits);
    for (const [s, i] of scored.entries()) {
      kl.addAt(
        klUnits[s]!,
        p - 1,
        klDivergence(clean.logits.data, cleanNorms[s]!, logits.data, norms[s]!, i * V, V),
      );
    }
  }
}
