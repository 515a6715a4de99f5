/**
 * Which latents to steer with. A latent that fires where the concept is need not write it (2510.03659: only a weak correlation), so there are two orders:
 *
 *     by activation      selectivity_f = share of concept tokens it fires on − share of other tokens
 *     by output effect   gain_f = mean_t [ln p_f(x_t) − ln p(x_t)] over openings of the concept, minus the same over openings of other texts,
 *                        p_f: the model with f clamped to its largest activation
 *
 * The second costs a run of the model per latent, so it is measured of the latents that come first in activation, and of as many that come
 * first in what their decoder row does to the logits directly:  Σ_v (W_U d_f)_v (w_v − mean w), w the weights of the concept's classifier.
 */
import { createUnembed } from '../../explain/index.ts';
import { type Model, padBatch, type TokenBatch } from '../../models/index.ts';
import { outputWidth, type Sae } from '../../sae/index.ts';
import type { SteeredFeature } from '../../shared/steer-report.ts';
import type { Concept, LatentFacts, Texts } from './concept.ts';
import { type Push, pushLatent } from './push.ts';
import type { Work } from './types.ts';

/** Latents of each list that output effect is measured of, where nothing else is said. */
const SCREENED = 128;
/** Openings of each side, and their tokens. */
const OPENINGS = 8;
const OPENING_TOKENS = 12;
/** Directions whose logits are held at a time. */
const TILE = 64;

export type Screened = { readonly latent: number; readonly gain: number };

/** The first `count` latents that fire, largest value first. */
export function firstBy(values: ArrayLike<number>, density: Float64Array, count: number): number[] {
  return Array.from(density.keys())
    .filter((f) => density[f]! > 0)
    .sort((a, b) => values[b]! - values[a]! || a - b)
    .slice(0, count);
}

/** Output effect of the latents that may have one, largest first. */
export async function screenByEffect(
  model: Model,
  sae: Sae,
  {
    hook,
    concept,
    facts,
    screened: most = SCREENED,
    signal,
    onProgress,
  }: {
    readonly hook: string;
    readonly concept: Concept;
    readonly facts: LatentFacts;
    readonly screened?: number;
    readonly signal?: AbortSignal | undefined;
    readonly onProgress?: ((done: number, total: number) => void) | undefined;
  },
): Promise<Screened[]> {
  const direct = await directEffects(model, sae, concept, signal);
  const latents = [
    ...new Set([
      ...firstBy(facts.selectivity, facts.density, most),
      ...(direct ? firstBy(direct, facts.density, most) : []),
    ]),
  ];
  const gainOf = await createGain(model, concept.teach, signal);
  const screened: Screened[] = [];
  for (const [i, latent] of latents.entries()) {
    const push = await pushLatent(model, { sae, hook, latent, mode: 'clamp', value: facts.largest[latent]! });
    screened.push({ latent, gain: await gainOf(push) });
    onProgress?.(i + 1, latents.length);
  }
  return screened.sort((a, b) => b.gain - a.gain || a.latent - b.latent);
}

/** The gain of a push: what the formula above says. */
export async function createGain(
  model: Model,
  texts: Texts,
  signal: AbortSignal | undefined,
): Promise<(push: Push) => Promise<number>> {
  const stop = signal ? { signal } : {};
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
  const [cleanPositive, cleanNegative] = perSide((await model.lossPerToken(batch, stop)).data);
  return async (push) => {
    const { data } = await model.lossPerToken(batch, { ...push, ...stop });
    const [plus, minus] = perSide(data);
    return cleanPositive - plus - (cleanNegative - minus);
  };
}

/** Σ_v (W_U d_f)_v (w_v − mean w) of every latent [F]; undefined where decoder rows are not as wide as the residual stream. */
async function directEffects(
  model: Model,
  { config, W_dec }: Sae,
  { classifier: { weights } }: Concept,
  signal: AbortSignal | undefined,
): Promise<Float64Array | undefined> {
  const D = outputWidth(config);
  if (D !== model.info.D) return undefined;
  const unembed = createUnembed(model);
  const mean = weights.reduce((a, b) => a + b, 0) / weights.length;
  // Linear in the direction, so that the unit directions say all:  Σ_v (W_U d)_v c_v = d . u,  u_i = Σ_v (W_U e_i)_v c_v
  const u = new Float64Array(D);
  for (let from = 0; from < D; from += TILE) {
    const rows = Math.min(TILE, D - from);
    const unit = Float32Array.from({ length: rows * D }, (_, i) =>
      i % D === from + Math.floor(i / D) ? 1 : 0,
    );
    const logits = await unembed(unit, rows, signal ? { signal } : {});
    const V = logits.length / rows;
    for (let r = 0; r < rows; r++)
      for (let v = 0; v < V; v++) u[from + r]! += logits[r * V + v]! * (weights[v]! - mean);
  }
  const effects = new Float64Array(config.F);
  for (let f = 0; f < config.F; f++) for (let d = 0; d < D; d++) effects[f]! += W_dec[f * D + d]! * u[d]!;
  return effects;
}

export type Chosen = Pick<SteeredFeature, 'latent' | 'chosenBy'> & { readonly outputEffect?: number };

/** The latents of a report. */
export async function chooseLatents(
  work: Work,
  facts: LatentFacts,
  concept: Concept | undefined,
): Promise<Chosen[]> {
  const { config, options, model, sae, hook } = work;
  const { signal } = options;
  if (config.latents) {
    const gain = concept && (await createGain(model, concept.teach, signal));
    const chosen: Chosen[] = [];
    for (const latent of new Set(config.latents)) {
      chosen.push({
        latent,
        chosenBy: ['given'],
        ...(gain
          ? {
              outputEffect: await gain(
                await pushLatent(model, { sae, hook, latent, mode: 'clamp', value: facts.largest[latent]! }),
              ),
            }
          : {}),
      });
    }
    return chosen;
  }
  const screened = await screenByEffect(model, sae, {
    ...{ hook, concept: concept!, facts, signal },
    onProgress: (done, total) => options.onProgress?.({ stage: 'output effect', done, total }),
  });
  const gains = new Map(screened.map(({ latent, gain }) => [latent, gain]));
  const byActivation = firstBy(facts.selectivity, facts.density, config.choose);
  const byEffect = screened.slice(0, config.choose).map(({ latent }) => latent);
  return [...new Set([...byActivation, ...byEffect])].map((latent) => ({
    latent,
    chosenBy: [
      ...(byActivation.includes(latent) ? (['activation'] as const) : []),
      ...(byEffect.includes(latent) ? (['output effect'] as const) : []),
    ],
    ...(gains.has(latent) ? { outputEffect: gains.get(latent)! } : {}),
  }));
}
