/** One register of `bench -- --visible`: candidates, choice on seeds of its own, measurement on fresh ones. */
import { checkers } from '../../src/demo/checkers.ts';
import type { LabelledDocument } from '../../src/demo/concepts/types.ts';
import { matchedLatents, matchedStrata, shuffled } from '../../src/eval/steering/matched.ts';
import { encodeTexts } from '../../src/hooked/index.ts';
import type { Model } from '../../src/models/index.ts';
import type { Sae } from '../../src/sae/index.ts';
import { becomes } from '../../src/workflows/steer-report/becomes.ts';
import { screenByEffect } from '../../src/workflows/steer-report/choose.ts';
import { makeConcept } from '../../src/workflows/steer-report/concept.ts';
import { type Push, type PushMode, pushLatent } from '../../src/workflows/steer-report/push.ts';
import { createGain } from './openings.ts';

export type VisibleSettings = {
  readonly samples: number;
  readonly controls: number;
  readonly temperature: number;
  readonly tokens: number;
  readonly mode: PushMode;
  /** Of the measured texts; the choice has its own. */
  readonly seeds: string;
};

type Count = { readonly passes: number; readonly of: number };
type Setting = { readonly hook: string; readonly latent: number; readonly strength: number };
export type RegisterResult = {
  readonly register: string;
  readonly ofTheTwelve?: boolean;
  readonly turns: boolean;
  readonly best: Setting & Count & { readonly chosen: Count; readonly text: string };
  readonly byActivation: Setting & Count;
  readonly unsteered: Count;
  readonly matched: Count & { readonly latents: readonly number[]; readonly worst: number };
};

/** An SAE with, per register, how many tokens every latent fires on. */
export type IndexedSae = {
  readonly sae: Sae;
  readonly hook: string;
  readonly largest: Float32Array;
  readonly density: Float64Array;
  readonly fired: ReadonlyMap<string, Float64Array>;
  readonly tokens: ReadonlyMap<string, number>;
};

/** A log line alone is longer than the texts of the others. */
const LONGER: Readonly<Record<string, number>> = { 'http-logs': 160 };
const CANDIDATES = 3;
const SCREENED = 24;
const STRENGTHS = [1, 2, 4];
const NEAR = [0.7, 1.4];
/** Texts of a setting in each stage of the choice, and how many settings go on from one to the next. */
const [FEW, MORE, MANY, KEPT] = [6, 16, 64, 4];

export const registerOf = ({ register, meta }: LabelledDocument): string =>
  register === 'languages' ? String(meta.language).toLowerCase() : register;

/** At most so many documents of every register. */
const DOCUMENTS = 24;

export async function indexRegisters(
  model: Model,
  sae: Sae,
  hook: string,
  documents: readonly LabelledDocument[],
): Promise<IndexedSae> {
  const { F } = sae.config;
  const seen = new Map<string, number>();
  const some = documents.filter((document) => {
    const name = registerOf(document);
    seen.set(name, (seen.get(name) ?? 0) + 1);
    return seen.get(name)! <= DOCUMENTS;
  });
  const [fired, tokens] = [new Map<string, Float64Array>(), new Map<string, number>()];
  const largest = new Float32Array(F);
  for await (const { index, code } of encodeTexts(
    model,
    sae,
    some.map(({ text }) => text),
  )) {
    const name = registerOf(some[index]!);
    const counts = fired.get(name) ?? new Float64Array(F);
    fired.set(name, counts);
    tokens.set(name, (tokens.get(name) ?? 0) + code.B);
    for (const [slot, value] of code.values.entries()) {
      if (!(value > 0)) continue;
      const f = code.indices[slot]!;
      counts[f]!++;
      largest[f] = Math.max(largest[f]!, value);
    }
  }
  // Registers count as in the corpus, not as they were sampled.
  const density = new Float64Array(F);
  for (const [name, counts] of fired) {
    const share = seen.get(name)! / documents.length / tokens.get(name)!;
    for (let f = 0; f < F; f++) density[f]! += share * counts[f]!;
  }
  return { sae, hook, largest, density, fired, tokens };
}

export async function writeTexts(
  model: Model,
  push: Push,
  count: number,
  { temperature, tokens }: Pick<VisibleSettings, 'temperature' | 'tokens'>,
  seed: string,
): Promise<string[]> {
  const texts = await model.generateBatch(
    Array.from({ length: count }, () => ''),
    {
      ...{ maxNewTokens: tokens, temperature, seed: Array.from({ length: count }, (_, i) => `${seed}/${i}`) },
      ...push,
    },
  );
  return texts.map(({ text }) => text);
}

export async function measureRegister(
  model: Model,
  saes: readonly IndexedSae[],
  documents: readonly LabelledDocument[],
  register: string,
  unsteeredTexts: readonly string[],
  settings: VisibleSettings,
): Promise<RegisterResult> {
  const checker = checkers[register];
  if (!checker) throw new Error(`No checker '${register}'; there are: ${Object.keys(checkers).join(', ')}`);
  const writing = { ...settings, tokens: LONGER[register] ?? settings.tokens };
  const count = (texts: readonly string[]): Count => ({
    passes: texts.filter((text) => becomes(checker, text)).length,
    of: texts.length,
  });
  const indexOf = (hook: string) => saes.find((indexed) => indexed.hook === hook)!;
  const write = async (at: Setting, samples: number, seed: string): Promise<string[]> => {
    const { sae, largest } = indexOf(at.hook);
    const value = at.strength * largest[at.latent]!;
    return await writeTexts(
      model,
      await pushLatent(model, { ...at, sae, mode: settings.mode, value }),
      samples,
      writing,
      seed,
    );
  };

  const candidates = await candidatesOf(model, saes, documents, register);
  type Tried = Setting & { readonly chosen: Count; readonly activation: number };
  const tryOut = async (at: Setting & { activation: number }, samples: number): Promise<Tried> => ({
    ...at,
    chosen: count(await write(at, samples, 'choice')),
  });
  const share = ({ chosen: { passes, of } }: Tried): number => passes / of;
  const better = (a: Tried, b: Tried): number => share(b) - share(a);
  /** Coarse, then finer around the best of each latent, then the best of these on many texts. */
  const choose = async (
    from: readonly { hook: string; latent: number; activation: number }[],
    keep: number,
  ) => {
    const tried: Tried[] = [];
    // As many settings that never fail as are kept are enough to go on with.
    const enough = () => tried.filter((one) => share(one) === 1).length >= keep;
    for (const one of from)
      for (const strength of STRENGTHS) if (!enough()) tried.push(await tryOut({ ...one, strength }, FEW));
    const finer: Tried[] = [];
    const bestOfLatents = tried
      .sort(better)
      .filter((one, i) => tried.findIndex((o) => o.latent === one.latent && o.hook === one.hook) === i);
    for (const one of bestOfLatents.slice(0, keep))
      for (const factor of [1, ...NEAR])
        finer.push(await tryOut({ ...one, strength: Number((one.strength * factor).toPrecision(2)) }, MORE));
    const last: Tried[] = [];
    for (const one of finer.sort(better).slice(0, KEPT)) last.push(await tryOut(one, MANY));
    return last.sort(better)[0]!;
  };
  const chosen = await choose(candidates, KEPT);
  const first = candidates.reduce((a, b) => (b.activation > a.activation ? b : a));
  const alone =
    first.latent === chosen.latent && first.hook === chosen.hook ? chosen : await choose([first], 1);

  const texts = await write(chosen, settings.samples, settings.seeds);
  const best = {
    ...chosen,
    ...count(texts),
    text: texts.find((text) => becomes(checker, text)) ?? texts[0]!,
  };
  const byActivation =
    alone === chosen ? best : { ...alone, ...count(await write(alone, settings.samples, settings.seeds)) };
  const longer =
    writing.tokens === settings.tokens
      ? undefined
      : await writeTexts(model, {}, settings.samples, writing, settings.seeds);
  const unsteered = count(longer ?? unsteeredTexts);
  const matched = await random(chosen);
  const least = (limit: number, { passes, of }: Count) => passes <= limit * of;
  return {
    ...{ register, best, byActivation, unsteered, matched },
    turns: best.passes >= 0.7 * best.of && least(0.15, unsteered) && least(0.15, matched),
  };

  /** Random latents of like density, each pushed as far as the chosen one; so many texts of all together. */
  async function random({ hook, latent, strength }: Setting): Promise<RegisterResult['matched']> {
    const { sae, density, largest } = indexOf(hook);
    const { D, F } = sae.config;
    const norms = Float64Array.from({ length: F }, (_, f) =>
      Math.hypot(...sae.W_dec.subarray(f * D, (f + 1) * D)),
    );
    const strata = matchedStrata(density, norms, settings.controls + 1);
    const latents = matchedLatents(strata, latent, settings.controls, register);
    const each = Math.ceil(settings.samples / settings.controls);
    const counts: Count[] = [];
    for (const f of latents) {
      const value = (strength * largest[latent]! * norms[latent]!) / norms[f]!;
      const push = await pushLatent(model, { sae, hook, latent: f, mode: settings.mode, value });
      counts.push(count(await writeTexts(model, push, each, writing, `${settings.seeds}/${f}`)));
    }
    return {
      latents,
      passes: counts.reduce((sum, { passes }) => sum + passes, 0),
      of: counts.reduce((sum, { of }) => sum + of, 0),
      worst: Math.max(...counts.map(({ passes, of }) => passes / of)),
    };
  }
}

/** The first of both orders, of every SAE. */
async function candidatesOf(
  model: Model,
  saes: readonly IndexedSae[],
  documents: readonly LabelledDocument[],
  register: string,
): Promise<{ hook: string; latent: number; activation: number }[]> {
  const mixed = shuffled(documents, `texts/${register}`);
  const positive = mixed.filter((document) => registerOf(document) === register).slice(0, 60);
  const negative = mixed.filter((document) => registerOf(document) !== register).slice(0, 60);
  const text = ({ text: own }: LabelledDocument) => own;
  const concept = makeConcept(
    model,
    { name: register, positive: positive.map(text), negative: negative.map(text) },
    undefined,
  );
  const effectOf = await createGain(model, concept.teach);
  const candidates: { hook: string; latent: number; activation: number }[] = [];
  for (const { sae, hook, density, largest, fired, tokens } of saes) {
    const own = fired.get(register)!;
    const total = own.map((_, f) => [...fired.values()].reduce((sum, counts) => sum + counts[f]!, 0));
    // F1 of "fires" for "is of the register", registers as sampled.
    const f1 = own.map((hits, f) => (2 * hits) / Math.max(1, total[f]! + tokens.get(register)!));
    const rest = [...tokens].reduce((sum, [name, n]) => sum + (name === register ? 0 : n), 0);
    const selectivity = own.map((hits, f) => hits / tokens.get(register)! - (total[f]! - hits) / rest);
    const facts = { density, largest, selectivity, tokens: [], fired: new Map<number, number[]>() };
    const byEffect = await screenByEffect(model, sae, {
      ...{ hook, concept, facts, screened: SCREENED, effectOf },
    });
    const byActivation = Array.from(f1.keys()).sort((a, b) => f1[b]! - f1[a]!);
    const latents = new Set([
      ...byActivation.slice(0, CANDIDATES),
      ...byEffect.slice(0, CANDIDATES).map(({ latent }) => latent),
    ]);
    for (const latent of latents) candidates.push({ hook, latent, activation: f1[latent]! });
  }
  return candidates;
}
