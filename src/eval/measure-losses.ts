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
  /** The model's own activations [B,T,D]. */
  readonly clean: Tensor;
  /** For the runs of the model. */
  readonly stop: { readonly signal?: AbortSignal };
  /** Zero, mean, then the candidates; activations [B,T,D] are made one after the other. */
  readonly splices: readonly {
    readonly name: string;
    readonly kl: boolean;
    readonly activations: () => Tensor;
  }[];
};

/** Positions whose logits [n,V] are outside the engine at once: a vocabulary of 128 k makes 33 MB of them. */
const TILE_ROWS = 64;

/**
 * Cross-entropies of the clean run and of every splice, and KL where it is wanted. Only KL needs logits outside the engine, and has them a
 * few positions at a time; all other losses are made inside it. Both continue from the hook, the clean run from the model's own activations.
 */
export async function measureLosses(
  { ce, kl }: Measures,
  model: EvalModel,
  { hook, batch, scored, unitOf, clean, stop, splices }: Predictions,
) {
  const { ids, T } = batch;
  const compared = splices.flatMap((splice, p) => (splice.kl ? [{ ...splice, p }] : []));
  const ceUnits = Int32Array.from(scored, (i) => ce.indexOf(unitOf(i)));
  for (const u of ceUnits) ce.addAt(u, 0, 1);

  function addLoss(column: number, name: string, s: number, loss: number): void {
    if (!Number.isFinite(loss))
      throw new Error(
        `evaluate: the loss of ${name} is not finite at position ${scored[s]! % T} of a sequence.`,
      );
    ce.addAt(ceUnits[s]!, column, loss);
  }
  async function engineLosses(column: number, name: string, activations: Tensor): Promise<void> {
    const { data } = await model.lossPerToken(batch, { from: { hook, activations }, ...stop });
    for (const [s, i] of scored.entries())
      addLoss(column, name, s, data[Math.floor(i / T) * (T - 1) + (i % T)]!);
  }

  if (compared.length > 0) await compareLogits();
  else await engineLosses(1, 'the model', clean);
  for (const [p, { name, kl: withKl, activations }] of splices.entries())
    if (!withKl) await engineLosses(2 + p, name, activations());

  async function compareLogits(): Promise<void> {
    const klUnits = Int32Array.from(scored, (i) => kl.indexOf(unitOf(i)));
    for (const u of klUnits) kl.addAt(u, 0, 1);
    const residual = async (activations: Tensor): Promise<Float32Array> =>
      (await model.lastResidual(batch, { from: { hook, activations }, ...stop })).data;
    const own = await residual(clean);
    const others: Float32Array[] = [];
    for (const { activations } of compared) others.push(await residual(activations()));

    const D = own.length / (batch.B * T);
    for (let first = 0; first < scored.length; first += TILE_ROWS) {
      const places = scored.subarray(first, first + TILE_ROWS);
      const logitsOf = async (rows: Float32Array): Promise<Float32Array> => {
        const tile = new Float32Array(places.length * D);
        for (const [r, i] of places.entries()) tile.set(rows.subarray(i * D, (i + 1) * D), r * D);
        return (await model.headLogits(tile, stop)).data;
      };
      const p = await logitsOf(own);
      const V = p.length / places.length;
      const norms = Float64Array.from(places, (_, r) => logSumExp(p, r * V, V));
      for (const [r, i] of places.entries())
        addLoss(1, 'the model', first + r, norms[r]! - p[r * V + ids[i + 1]!]!);
      for (const [c, splice] of compared.entries()) {
        const q = await logitsOf(others[c]!);
        for (const [r, i] of places.entries()) {
          const norm = logSumExp(q, r * V, V);
          addLoss(2 + splice.p, splice.name, first + r, norm - q[r * V + ids[i + 1]!]!);
          kl.addAt(klUnits[first + r]!, splice.p - 1, klDivergence(p, norms[r]!, q, norm, r * V, V));
        }
      }
    }
  }
}
