/**
 * Which latents to steer with. A latent that fires where the concept is need not write it (2510.03659: only a weak correlation), so there are two orders:
 *
 *     by activation      selectivity_f = share of concept tokens it fires on − share of other tokens
 *     by output effect   effect_f = mean_t Σ_{v ∈ target} [p_f,t(v) − p_t(v)] over openings of texts without the concept,
 *                        p_f: the model with f clamped to its largest activation
 *
 * (How much likelier openings of the concept become than those of others would be the obvious measure; a latent that ruins all text but ruins the
 * concept's least then comes first.)
 * The second costs a run of the model per latent, so it is measured of the latents that come first in activation, and of as many that come
 * first in what their decoder row does to the logits directly:  Σ_v (W_U d_f)_v (w_v − mean w), w the weights of the concept's classifier.
 */
import { createUnembed } from '../../explain/index.ts';
import { type Model, padBatch, type TokenBatch } from '../../models/index.ts';
import { outputWidth, type Sae } from '../../sae/index.ts';
import type { SteeredFeature } from '../../shared/steer-report.ts';
import type { Concept, LatentFacts } from './concept.ts';
import { logSumExp } from './measure.ts';
import { type Push, pushLatent } from './push.ts';
import type { Work } from './types.ts';

/** Latents of each list that output effect is measured of, where nothing else is said. */
const SCREENED = 128;
/** Openings, and their tokens. */
const OPENINGS = 8;
const OPENING_TOKENS = 12;
/** Directions whose logits are held at a time. */
const TILE = 64;

export type Screened = { readonly latent: number; readonly effect: number };
export type Effect = (push: Push) => Promise<number>;

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
    effectOf,
    signal,
    onProgress,
  }: {
    readonly hook: string;
    readonly concept: Concept;
    readonly facts: LatentFacts;
    readonly screened?: number;
    /** Default: the formula above. */
    readonly effectOf?: Effect;
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
  const measure = effectOf ?? (await createTargetEffect(model, concept, signal));
  const screened: Screened[] = [];
  for (const [i, latent] of latents.entries()) {
    const push = await pushLatent(model, { sae, hook, latent, mode: 'clamp', value: facts.largest[latent]! });
    screened.push({ latent, effect: await measure(push) });
    onProgress?.(i + 1, latents.length);
  }
  return screened.sort((a, b) => b.effect - a.effect || a.latent - b.latent);
}

/** The output effect of a push: what the formula above says. */
export async function createTargetEffect(
  model: Model,
  { teach, targets }: Pick<Concept, 'teach' | 'targets'>,
  signal: AbortSignal | undefined,
): Promise<Effect> {
  const stop = signal ? { signal } : {};
  const { D, V, bosTokenId } = model.info;
  const bos = bosTokenId === undefined ? [] : [bosTokenId];
  const batch: TokenBatch = padBatch(
    teach.negative.slice(0, OPENINGS).map((ids) => [...bos, ...ids.slice(0, OPENING_TOKENS)]),
  );
  const real = Array.from(batch.mask.keys()).filter((i) => batch.mask[i] === 1);
  const probability = async (push: Push): Promise<number> => {
    const { data } = await model.lastResidual(batch, { ...push, ...stop });
    const rows = new Float32Array(real.length * D);
    for (const [r, row] of real.entries()) rows.set(data.subarray(row * D, (row + 1) * D), r * D);
    const { data: logits } = await model.headLogits(rows, stop);
    let sum = 0;
    for (let r = 0; r < real.length; r++) {
      const own = logits.subarray(r * V, (r + 1) * V);
      const z = logSumExp(own);
      for (const v of targets) sum += Math.exp(own[v]! - z);
    }
    return sum / real.length;
  };
  const plain = await probability({});
  return async (push) => (await probability(push)) - plain;
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
    const effectOf = concept && (await createTargetEffect(model, concept, signal));
    const chosen: Chosen[] = [];
    for (const latent of new Set(config.latents)) {
      chosen.push({
        latent,
        chosenBy: ['given'],
        ...(effectOf
          ? {
              outputEffect: await effectOf(
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
  const effects = new Map(screened.map(({ latent, effect }) => [latent, effect]));
  const byActivation = firstBy(facts.selectivity, facts.density, config.choose);
  const byEffect = screened.slice(0, config.choose).map(({ latent }) => latent);
  return [...new Set([...byActivation, ...byEffect])].map((latent) => ({
    latent,
    chosenBy: [
      ...(byActivation.includes(latent) ? (['activation'] as const) : []),
      ...(byEffect.includes(latent) ? (['output effect'] as const) : []),
    ],
    ...(effects.has(latent) ? { outputEffect: effects.get(latent)! } : {}),
  }));
}
