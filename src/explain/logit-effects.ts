/** The tokens whose logits a latent raises and lowers most: effect = W_U (g ⊙ d_f) of its direction d_f, see unembed.ts. */
import type { Model } from '../models/types.ts';
import type { Sae } from '../sae/types.ts';
import type { TokenEffect } from '../shared/feature.ts';
import { createUnembed } from './unembed.ts';

export type LogitEffects = {
  readonly latent: number;
  /** Per unit of the latent, largest first. */
  readonly raises: readonly TokenEffect[];
  /** Most lowered first. */
  readonly lowers: readonly TokenEffect[];
};

/**
 * What latents do to the logits when nothing but the last norm and the head comes after them: a first idea of their meaning.
 *
 * @param latents each in [0,F)
 * @throws for a latent that is not there, an SAE of another width than the residual stream, or a model without tokenizer
 * @example
 * const [effects] = await logitEffects(model, sae, [827]);
 * console.log(effects.raises.map(({ token }) => token)); // 'ки' 'у' 'е' …
 */
export async function logitEffects(
  { tokenizer, ...model }: Pick<Model, 'headLogits' | 'info' | 'tokenizer'>,
  { config: { D, F }, W_dec }: Sae,
  latents: readonly number[],
  { tokens = 8, signal }: { readonly tokens?: number; readonly signal?: AbortSignal } = {},
): Promise<LogitEffects[]> {
  if (!tokenizer) throw new Error(`${model.info.name} has no tokenizer.json, so tokens have no text.`);
  if (D !== model.info.D)
    throw new Error(
      `The SAE has width ${D}, the residual stream of ${model.info.name} ${model.info.D}: only directions in it have an effect of their own on the logits.`,
    );
  const wrong = latents.find((latent) => !(Number.isInteger(latent) && latent >= 0 && latent < F));
  if (wrong !== undefined) throw new RangeError(`Latent ${wrong} is not there: this SAE has 0 to ${F - 1}.`);
  if (latents.length === 0) return [];
  const m = latents.length;
  const logits = await createUnembed(model)(directionsOf(latents, W_dec, F), m, signal ? { signal } : {});
  const V = logits.length / m;
  const tokenString = (id: number) => tokenizer.tokenStrings([id])[0]!;
  return latents.map((latent, i) => {
    const effects = logits.subarray(i * V, (i + 1) * V);
    return {
      latent,
      raises: extremes(effects, tokens, 1, tokenString),
      lowers: extremes(effects, tokens, -1, tokenString),
    };
  });
}

/** Decoder rows [m,D] of latents, from W_dec [F,D]. */
export function directionsOf(latents: readonly number[], W_dec: Float32Array, F: number): Float32Array {
  const D = W_dec.length / F;
  const directions = new Float32Array(latents.length * D);
  for (const [i, latent] of latents.entries())
    directions.set(W_dec.subarray(latent * D, (latent + 1) * D), i * D);
  return directions;
}

/** Parts of characters and control characters, which a byte-level vocabulary is full of, say nothing to a reader. */
const unreadable = /[\ufffd\p{Cc}]/u;

/** The `count` largest (sign 1) or smallest (sign −1) effects among the tokens that can be read. */
export function extremes(
  effects: Float32Array,
  count: number,
  sign: 1 | -1,
  tokenString: (id: number) => string,
): TokenEffect[] {
  return extremeIds(effects, count, sign, tokenString).map((id) => ({
    token: tokenString(id),
    id,
    effect: effects[id]!,
  }));
}

/** Their ids, in order; of equal effects the smaller id first. One pass, with the best so far beside it. */
export function extremeIds(
  effects: Float32Array,
  count: number,
  sign: 1 | -1,
  tokenString: (id: number) => string,
): number[] {
  const found: number[] = [];
  for (let id = 0; id < effects.length; id++) {
    const effect = sign * effects[id]!;
    if (found.length === count && !(effect > sign * effects[found[count - 1]!]!)) continue;
    const token = tokenString(id).trim();
    // White space such as a new line is control characters too, but can be read.
    if (token !== '' && unreadable.test(token)) continue;
    let place = found.length;
    while (place > 0 && sign * effects[found[place - 1]!]! < effect) place--;
    found.splice(place, 0, id);
    found.length = Math.min(found.length, count);
  }
  return found;
}
