/** Text with and without one latent's direction added, beside a random direction of the same length: the control. */
import { checkers } from '../demo/checkers.ts';
import type { Intervention } from '../models/steering/types.ts';
import type { GenerateOptions, Model } from '../models/types.ts';
import type { Sae } from '../sae/index.ts';
import { UsageError } from '../shared/errors.ts';
import type { FeatureCard } from '../shared/feature.ts';
import { randomised, steer } from '../steer/index.ts';

/** A text to write: the continuation of a prompt, or with `chat` the answer to it. */
export type WriteOptions = GenerateOptions & {
  readonly prompt: string;
  readonly chat?: boolean;
  /** With `chat`, the system message before the prompt. */
  readonly system?: string;
};

export type SteerOptions = Omit<WriteOptions, 'steer' | 'interventions' | 'seed'> & {
  readonly hook: string;
  readonly latent: number;
  /** Added at every position, special tokens too, in units of the latent's own activation. */
  readonly strength: number;
  readonly seed: number;
  /** Take an SAE that was trained on another model. */
  readonly otherModel?: boolean;
};

/** Continuations of the same prompt with the same seed. */
export type SteeredSamples = {
  readonly without: string;
  readonly steered: string;
  /** A random direction of the same length. */
  readonly random: string;
};

/** @throws UsageError as `steer` does: no such latent or hook, an SAE of another model */
export async function steeredSamples(model: Model, sae: Sae, options: SteerOptions): Promise<SteeredSamples> {
  const steered = await added(model, sae, options);
  return {
    without: await sample(model, options),
    steered: await sample(model, options, steered),
    random: await sample(model, options, randomised(steered, options.seed)),
  };
}

/** Writes one text. */
export async function writeText(
  model: Model,
  { prompt, chat, system, ...options }: WriteOptions,
): Promise<string> {
  if (!chat) return await model.generate(prompt, options);
  const before = system === undefined ? [] : [{ role: 'system', content: system }];
  return await model.chat([...before, { role: 'user', content: prompt }], options);
}

/** One text with interventions, or without. All run in one session. */
async function sample(
  model: Model,
  { hook: _h, strength: _s, latent: _l, otherModel: _o, ...options }: SteerOptions,
  interventions: readonly Intervention[] = [],
): Promise<string> {
  return await writeText(model, { ...options, interventions });
}

/** `strength` times the latent's decoder row at the hook, which of an SAE with normalised input is in units of the token's own. */
async function added(
  model: Model,
  sae: Sae,
  { hook, latent, strength: value, otherModel = false }: SteerOptions,
): Promise<Intervention[]> {
  return await steer(model, [{ sae, hook, latent, value, otherModel, specials: true }]).catch(
    (error: Error) => {
      throw new UsageError(error.message);
    },
  );
}

/** Tried in this order, times the latent's own largest activation. */
const STRENGTHS = [1.5, 2.5, 3.5];
/** A text that turns needs some tokens to do so: the rule is applied to what follows after these shares of it, too. */
const LEAD_INS = [0, 1 / 3, 1 / 2];

export type SteeringDemo = {
  readonly card: FeatureCard;
  readonly strength: number;
  readonly samples: SteeredSamples;
  /** Whether a checker says that the text became what the label says. */
  readonly passes: boolean;
};

/** Bytes that are no character show that the script is left behind, not that the text became what the label says; one may be cut at the end. */
const broken = (text: string): boolean => text.replace(/\uFFFD+$/, '').includes('\uFFFD');

/**
 * The first card whose latent turns the text into what its label says, by a deterministic checker of that register or language, while the
 * text without it and the one with a random direction do not pass the same rule. When none does,
 * the card with the best F1 at the middle strength, and `passes` is false; undefined without any card that has a checker.
 */
export async function findSteering(
  model: Model,
  sae: Sae,
  cards: readonly FeatureCard[],
  options: Omit<SteerOptions, 'latent' | 'strength'>,
): Promise<SteeringDemo | undefined> {
  const without = await sample(model, { ...options, latent: 0, strength: 0 });
  let best: FeatureCard | undefined;
  for (const card of cards) {
    // Concepts are named like "language/french", registers like "dna".
    const checker = checkers[card.best?.label.split('/').at(-1) ?? ''];
    const check = (text: string): boolean =>
      checker !== undefined &&
      !broken(text) &&
      LEAD_INS.some((share) => checker(text.slice(Math.floor(share * text.length)).trim()));
    if (checker === undefined || check(without) || (card.best?.f1 ?? 0) < 0.5) continue;
    if ((card.best?.f1 ?? 0) > (best?.best?.f1 ?? 0)) best = card;
    const largest = Math.max(...card.examples.map(({ value }) => value));
    for (const factor of STRENGTHS) {
      const strength = Number((factor * largest).toPrecision(3));
      const one = { ...options, latent: card.latent, strength };
      const interventions = await added(model, sae, one);
      const steered = await sample(model, one, interventions);
      if (!check(steered)) continue;
      const random = await sample(model, one, randomised(interventions, options.seed));
      if (!check(random)) return { card, strength, samples: { without, steered, random }, passes: true };
    }
  }
  if (best === undefined) return undefined;
  const largest = Math.max(...best.examples.map(({ value }) => value));
  const strength = Number(((STRENGTHS[1] ?? 1) * largest).toPrecision(3));
  const samples = await steeredSamples(model, sae, { ...options, latent: best.latent, strength });
  return { card: best, strength, samples, passes: false };
}
