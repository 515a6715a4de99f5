/**
 * One latent as the dose rises, beside everything that could do the same.
 *
 *     latent               z_f = s a                  s: strength, a: its largest activation (or, with mode add, z_f + s a)
 *     sign flip            z_f = −s a
 *     matched latents      z_j = s a ‖d_f‖ / ‖d_j‖    random latents of like density and norm, pushed as far
 *     noise                h + s a ‖d_f‖ u            u uniform on the sphere
 *     difference of means  h + s a ‖d_f‖ m / ‖m‖      m: mean activation on texts of the concept minus that on others
 *     prompt, none         no push: after a prompt that shows the concept, and as the model is
 */
import { differenceOfMeans, noiseDirection, withNorm } from '../../eval/steering/directions.ts';
import { matchedLatents, matchedStrata } from '../../eval/steering/matched.ts';
import { padBatch } from '../../models/index.ts';
import { rowNorms } from '../../sae/formats/fold.ts';
import { outputWidth } from '../../sae/index.ts';
import type {
  SteerArmName,
  SteeredFeature,
  SteerPoint,
  SteerReportConfig,
} from '../../shared/steer-report.ts';
import { tokenizerOf } from '../streams.ts';
import type { Arms, Candidate } from './arms.ts';
import type { Chosen } from './choose.ts';
import type { Concept, LatentFacts } from './concept.ts';
import { createMeasure, pushesTogether } from './measure.ts';
import { type Push, pushDirection, pushLatent } from './push.ts';
import { type Member, pointOf, testsOf } from './summary.ts';
import type { Work } from './types.ts';

/** Directions of noise; their average is one curve. */
const NOISES = 3;
/** Documents behind target and KL have so many tokens each. */
const DOCUMENT_TOKENS = 32;
/** Texts of each side behind the difference of means, and their tokens. */
const MEAN_TEXTS = 32;
const MEAN_TOKENS = 48;
/** Tokens of a text that has the concept, as the prompt of the arm `prompt`. */
const PROMPT_TOKENS = 24;
/** How many candidates a latent has. */
export const candidateCount = ({ strengths, controls }: SteerReportConfig): number =>
  2 + strengths.length * (3 + controls + NOISES);

/** Who is compared with a latent: random ones of like density and norm. */
export function matchedTo({ config, sae }: Work, latent: number, facts: LatentFacts): readonly number[] {
  const strata = matchedStrata(facts.density, rowNorms(sae.W_dec, sae.config.F), config.controls + 1);
  return matchedLatents(strata, latent, config.controls, `${config.seed}/matched/${latent}`);
}

/** What is measured of one latent. */
export type Subject = {
  readonly chosen: Chosen;
  readonly concept: Concept;
  readonly matched: readonly number[];
};

export async function reportFeature(
  work: Work,
  { chosen, concept, matched }: Subject,
  facts: LatentFacts,
  arms: Arms,
): Promise<SteeredFeature> {
  const { config, options, model, sae, hook, writes, checker } = work;
  const { latent } = chosen;
  const { signal, judge } = options;
  const { tokenStrings, decode } = tokenizerOf(model);
  const norms = rowNorms(sae.W_dec, sae.config.F);
  const measure = await createMeasure(model, {
    ...{ prompt: config.prompt, samples: config.samples, maxTokens: config.maxTokens, seed: config.seed },
    ...{ temperature: config.temperature, topP: config.topP, checker, judge, signal },
    ...{ classifier: concept.classifier, targets: concept.targets },
    documents: concept.measure.negative
      .filter((ids) => ids.length > 1)
      .slice(0, Math.ceil(config.textTokens / DOCUMENT_TOKENS))
      .map((ids) => ids.slice(0, DOCUMENT_TOKENS)),
  });
  const together = pushesTogether(model.info, config);
  const candidate = (who: string, dose: string, push: Push = {}, prompt?: string): Candidate => ({
    ...{ who, push, key: [concept.name, concept.targets, who, dose] },
    ...(prompt === undefined ? {} : { prompt }),
  });

  const full = facts.largest[latent]! * norms[latent]!;
  const means = await meanDifference(work, concept);
  const conceptPrompt =
    config.conceptPrompt ??
    decode(concept.measure.positive.find((ids) => ids.length > 1)!.slice(0, PROMPT_TOKENS));
  const unsteered = [
    candidate('as it is', ''),
    candidate('prompt', conceptPrompt, {}, `${conceptPrompt}${config.prompt}`),
  ];
  const [none, prompted] = (await arms.measure(unsteered, together, measure)) as [Member, Member];
  const noises = Array.from({ length: NOISES }, (_, i) => `noise ${config.seed}/${latent}/${i}`);
  const points: SteerPoint[] = [];
  const doses: { latent: Member; matched: Member[] }[] = [];
  for (const strength of config.strengths) {
    const length = strength * full;
    const latentAt = async (f: number, sign: 1 | -1 = 1): Promise<Candidate> => {
      const value = (sign * length) / norms[f]!;
      const push = await pushLatent(model, { sae, hook, latent: f, mode: config.mode, value });
      return candidate(`${sign < 0 ? '-' : ''}#${f}`, `${config.mode} ${value}`, push);
    };
    const directionAt = async (direction: Float32Array, who: string): Promise<Candidate> =>
      candidate(who, String(length), await pushDirection(model, writes, withNorm(direction, length)));
    const members = await arms.measure(
      await Promise.all([
        ...[latentAt(latent), latentAt(latent, -1)],
        directionAt(means, 'difference of means'),
        ...noises.map((name) => directionAt(noiseDirection(outputWidth(sae.config), 1, name), name)),
        ...matched.map((f) => latentAt(f)),
      ]),
      together,
      measure,
    );
    const [own, flipped, towards, ...others] = members as [Member, Member, Member, ...Member[]];
    const dose = { latent: own, matched: others.slice(NOISES) };
    doses.push(dose);
    const point = (arm: SteerArmName, by: readonly Member[]) =>
      points.push(pointOf(arm, strength, by, config.seed));
    point('latent', [own]);
    point('sign flip', [flipped]);
    point('matched latents', dose.matched);
    point('noise', others.slice(0, NOISES));
    point('difference of means', [towards]);
  }
  return {
    ...chosen,
    concept: concept.name,
    targets: tokenStrings(concept.targets),
    density: facts.density[latent]!,
    largest: facts.largest[latent]!,
    selectivity: concept.selectivity ?? facts.selectivity[latent]!,
    matched: [...matched],
    unsteered: [pointOf('none', 0, [none], config.seed), pointOf('prompt', 0, [prompted], config.seed)],
    points,
    tests: testsOf(doses),
  };
}

/** Mean activation [Dout] on texts of the concept minus that on others, special tokens left out. */
async function meanDifference(
  { model, writes, sae, options }: Work,
  { teach }: Concept,
): Promise<Float32Array> {
  const { signal } = options;
  const Dout = outputWidth(sae.config);
  const bos = model.info.bosTokenId === undefined ? [] : [model.info.bosTokenId];
  const rows = async (texts: readonly number[][]): Promise<Float32Array> => {
    const batch = padBatch(texts.slice(0, MEAN_TEXTS).map((ids) => [...bos, ...ids.slice(0, MEAN_TOKENS)]));
    const { cache } = await model.run(batch, { hooks: [writes], ...(signal ? { signal } : {}) });
    const kept = Array.from(batch.mask.keys()).filter(
      (i) => batch.mask[i] === 1 && i % batch.T >= bos.length,
    );
    const data = new Float32Array(kept.length * Dout);
    for (const [r, i] of kept.entries())
      data.set(cache[writes]!.data.subarray(i * Dout, (i + 1) * Dout), r * Dout);
    return data;
  };
  return differenceOfMeans(await rows(teach.positive), await rows(teach.negative), Dout);
}
