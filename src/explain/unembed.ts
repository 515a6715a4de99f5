/**
 * Which logits a direction pushes, through the model's own last norm and head.
 *
 *     RMSNorm:    effect = W_U (g ⊙ d)                  LayerNorm:  effect = W_U (g ⊙ (d − mean d))
 *
 * The final norm is reduced to its gain: its division by the residual's size, which depends on the text, is left out, and so is
 * everything that later layers would do with the direction. Obtained from the graph itself, with no access to weights: the model is
 * continued from the last residual with c·d in place of the residual; the norm divides by c·rms(d), so
 *     effect = (logits(c·d) − logits(0)) · rms(d)
 * (for LayerNorm larger by the factor rms(d) / std(d), 1 for a direction of mean 0). c = 100 keeps the norm's epsilon from mattering. Where
 * logits are capped (Gemma 2), those before the cap are meant: the cap is no part of the direction's effect, and would end it.
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
  return async (directions, m, { signal } = {}) => {
    let effects = new Float32Array(0);
    for (let from = 0; from < m; from += tile) {
      signal?.throwIfAborted();
      const rows = Math.min(tile, m - from);
      // One more row, left zero: the logits of no direction at all.
      const data = new Float32Array((rows + 1) * D);
      for (let i = 0; i < rows * D; i++) data[i] = scale * directions[from * D + i]!;
      const logits = await model.headLogits(data, { uncapped: true, ...(signal ? { signal } : {}) });
      const V = logits.dims.at(-1)!;
      if (effects.length === 0) effects = new Float32Array(m * V);
      for (let r = 0; r < rows; r++) {
        let square = 0;
        for (let d = 0; d < D; d++) square += directions[(from + r) * D + d]! ** 2;
        const size = Math.sqrt(square / D);
        for (let v = 0; v < V; v++) {
          effects[(from + r) * V + v] = (logits.data[r * V + v]! - logits.data[rows * V + v]!) * size;
        }
      }
    }
    return effects;
  };
}
