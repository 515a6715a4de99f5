/**
 * Which logits a direction pushes, through the model's own last norm and head.
 *
 *     RMSNorm:    effect = W_U (g ⊙ d)                  LayerNorm:  effect = W_U (g ⊙ (d − mean d))
 *
 * The final norm is reduced to its gain: its division by the residual's size, which depends on the text, is left out, and so is
 * everything that later layers would do with the direction. Obtained from the graph itself, with no access to weights: the model is
 * continued from the last residual with c·d in place of the residual; the norm divides by c·rms(d), LayerNorm by c·std(d), so
 *     effect = (logits(c·d) − logits(0)) · rms(d)          or · std(d)
 * Which of both it is, a direction with the same number in every place tells beside one of alternating signs: LayerNorm leaves nothing of
 * it. c = 100 keeps the norm's epsilon from mattering. Where logits are capped (Gemma 2), those before the cap are meant: the cap is no
 * part of the direction's effect, and would end it.
 */
import type { Model } from '../models/types.ts';
import type { Unembed } from './types.ts';

const scale = 100;
/** Directions per call: bounds the logits to 64 V floats. */
const tile = 64;

/** The effects of directions [m,D] on the logits [m,V], per unit of the direction. */
export function createUnembed(
  model: Pick<Model, 'headLogits'> & { readonly info: Pick<Model['info'], 'D'> },
): Unembed {
  const { D } = model.info;
  let centred: Promise<boolean> | undefined;
  /** Whether the last norm takes the mean away. */
  const takesMean = async (stop: { signal?: AbortSignal }): Promise<boolean> => {
    const data = new Float32Array(3 * D).fill(scale, 0, 2 * D);
    for (let d = D; d < 2 * D; d += 2) data[d] = -scale;
    const { data: logits } = await model.headLogits(data, { uncapped: true, ...stop });
    const V = logits.length / 3;
    const effectOf = (row: number): number => {
      let most = 0;
      for (let v = 0; v < V; v++) most = Math.max(most, Math.abs(logits[row * V + v]! - logits[2 * V + v]!));
      return most;
    };
    // Not 0 to the last bit: a mean is rounded.
    return effectOf(0) < 0.05 * effectOf(1);
  };
  return async (directions, m, { signal } = {}) => {
    const stop = signal ? { signal } : {};
    centred ??= takesMean(stop);
    centred.catch(() => {
      centred = undefined;
    });
    const centre = await centred;
    let effects = new Float32Array(0);
    for (let from = 0; from < m; from += tile) {
      signal?.throwIfAborted();
      const rows = Math.min(tile, m - from);
      // One more row, left zero: the logits of no direction at all.
      const data = new Float32Array((rows + 1) * D);
      for (let i = 0; i < rows * D; i++) data[i] = scale * directions[from * D + i]!;
      const logits = await model.headLogits(data, { uncapped: true, ...stop });
      const V = logits.dims.at(-1)!;
      if (effects.length === 0) effects = new Float32Array(m * V);
      for (let r = 0; r < rows; r++) {
        const direction = directions.subarray((from + r) * D, (from + r + 1) * D);
        const mean = centre ? direction.reduce((sum, value) => sum + value, 0) / D : 0;
        let square = 0;
        for (const value of direction) square += (value - mean) ** 2;
        const size = Math.sqrt(square / D);
        for (let v = 0; v < V; v++) {
          effects[(from + r) * V + v] = (logits.data[r * V + v]! - logits.data[rows * V + v]!) * size;
        }
      }
    }
    return effects;
  };
}
