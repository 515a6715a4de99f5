/**
 * The output effect by which `bench -- --visible` chooses candidates:
 *
 *     gain = mean_t [ln p_f(x_t) − ln p(x_t)] over openings of the concept, minus the same over openings of other texts
 */
import { type Model, padBatch, type TokenBatch } from '../../src/models/index.ts';
import type { Effect } from '../../src/workflows/steer-report/choose.ts';
import type { Texts } from '../../src/workflows/steer-report/concept.ts';

/** Openings of each side, and their tokens. */
const OPENINGS = 8;
const OPENING_TOKENS = 12;

export async function createGain(model: Model, texts: Texts): Promise<Effect> {
  const bos = model.info.bosTokenId === undefined ? [] : [model.info.bosTokenId];
  const openings = (side: readonly number[][]) =>
    side.slice(0, OPENINGS).map((ids) => [...bos, ...ids.slice(0, OPENING_TOKENS)]);
  const [positive, negative] = [openings(texts.positive), openings(texts.negative)];
  const batch: TokenBatch = padBatch([...positive, ...negative]);
  const perSide = (losses: Float32Array): [number, number] => {
    const mean = (from: number, to: number): number => {
      let [sum, n] = [0, 0];
      for (let i = from * (batch.T - 1); i < to * (batch.T - 1); i++) {
        // 0 exactly stands where there is no prediction.
        sum += losses[i]!;
        n += losses[i] === 0 ? 0 : 1;
      }
      return sum / Math.max(1, n);
    };
    return [mean(0, positive.length), mean(positive.length, batch.B)];
  };
  const [cleanPositive, cleanNegative] = perSide((await model.lossPerToken(batch)).data);
  return async (push) => {
    const { data } = await model.lossPerToken(batch, push);
    const [plus, minus] = perSide(data);
    return cleanPositive - plus - (cleanNegative - minus);
  };
}
