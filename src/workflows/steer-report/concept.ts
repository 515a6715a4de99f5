/**
 * What a report is about: texts that have the concept and texts that have not, tokens that speak for it, and one look at all latents on both.
 *
 *     selectivity_f = share of concept tokens that latent f fires on − share of other tokens that it fires on
 *     target        = the twenty tokens with the largest n⁺_v (ln p⁺_v − ln p⁻_v), naive Bayes' weight by how often the concept uses them
 *
 * Texts are dealt out by turns: even ones teach (classifier, difference of means, choice of latents), odd ones measure (KL, target).
 */
import { type DocumentSet, openCorpus } from '../../data/index.ts';
import { type TokenClassifier, tokenClassifier } from '../../eval/steering/classifier.ts';
import { shuffled } from '../../eval/steering/matched.ts';
import { encodeTexts } from '../../hooked/index.ts';
import type { Model } from '../../models/index.ts';
import type { Sae } from '../../sae/index.ts';
import { UsageError } from '../../shared/errors.ts';
import { didYouMean } from '../../shared/nearest.ts';
import type { SteerReportConfig } from '../../shared/steer-report.ts';
import { tokenizerOf } from '../streams.ts';

/** Token ids of texts, without BOS. */
export type Texts = { readonly positive: readonly number[][]; readonly negative: readonly number[][] };

export type Concept = {
  readonly name: string;
  readonly teach: Texts;
  readonly measure: Texts;
  readonly classifier: TokenClassifier;
  readonly targets: readonly number[];
  /** Of a latent's own concept, whose texts are chosen after the look at all latents. */
  readonly selectivity?: number;
};

/** What one pass over the texts says of every latent [F]. */
export type LatentFacts = {
  readonly density: Float64Array;
  readonly largest: Float32Array;
  readonly selectivity: Float64Array;
  /** Tokens of every text, in the order of the texts, and on how many of them each watched latent fires. */
  readonly tokens: readonly number[];
  readonly fired: ReadonlyMap<number, readonly number[]>;
};

/** Without a named concept: the share of texts on which a latent fires most. */
const OWN_SHARE = 0.1;
const FEWEST_TEXTS = 8;
/** Texts of a side, at most; more change little. */
const TEXTS = 400;
const TARGETS = 20;

const rate = (n: number, of: number): number => n / Math.max(1, of);

/** Texts on both sides of what the config names, shuffled. */
export async function readConcept(
  config: SteerReportConfig,
  heldout: DocumentSet,
  textField: string,
  signal: AbortSignal | undefined,
): Promise<{ name: string; positive: string[]; negative: string[]; share: number }> {
  const fromFiles = async (paths: readonly string[]): Promise<string[]> => {
    const corpus = await openCorpus({ data: paths, heldout: paths, textField });
    try {
      const texts: string[] = [];
      for (let i = 0; i < corpus.heldout.count; i++) texts.push((await corpus.heldout.get(i)).text);
      return texts;
    } finally {
      await corpus.close();
    }
  };
  const others: string[] = [];
  const own: string[] = [];
  const known = new Set<string>();
  const place = shuffled(
    Array.from({ length: heldout.count }, (_, i) => i),
    `${config.seed}/texts`,
  );
  for (const i of place) {
    signal?.throwIfAborted();
    const { text, register, meta } = await heldout.get(i);
    const names = [register, meta.language]
      .filter((name) => typeof name === 'string')
      .map((n) => n.toLowerCase());
    for (const name of names) known.add(name);
    const has = config.register !== undefined && names.includes(config.register.toLowerCase());
    (has ? own : others).push(text);
  }
  if (config.register !== undefined && own.length === 0)
    throw new UsageError(
      known.size === 0
        ? `--register ${config.register}: the held-out documents have no field "register". Give --positive instead: files of texts that have the concept.`
        : `--register ${config.register}: no held-out document is of it.${didYouMean(config.register, [...known])} There are: ${[...known].sort().join(', ')}.`,
    );
  const positive = config.positive
    ? shuffled(await fromFiles(config.positive), `${config.seed}/positive`)
    : own;
  const negative = config.negative
    ? shuffled(await fromFiles(config.negative), `${config.seed}/negative`)
    : others;
  const name = config.register ?? config.positive?.join(', ') ?? 'what the latent fires on';
  const share = positive.length / Math.max(1, positive.length + negative.length);
  return { name, positive: positive.slice(0, TEXTS), negative: negative.slice(0, TEXTS), share };
}

/** Halves, classifier and target tokens. */
export function makeConcept(
  model: Model,
  texts: {
    readonly name: string;
    readonly positive: readonly string[];
    readonly negative: readonly string[];
  },
  target: readonly string[] | undefined,
): Concept {
  const { encode } = tokenizerOf(model);
  const ids = (list: readonly string[], half: number) =>
    list.filter((_, i) => i % 2 === half).map((text) => encode(text).slice(0, model.info.contextLength - 1));
  const halves = (half: number): Texts => ({
    positive: ids(texts.positive, half),
    negative: ids(texts.negative, half),
  });
  const [teach, measure] = [halves(0), halves(1)];
  for (const [side, list] of Object.entries(measure))
    if (list.every((tokens: readonly number[]) => tokens.length < 2))
      throw new UsageError(
        `There are ${texts[side as 'positive' | 'negative'].length} ${side} texts of '${texts.name}', too few: half of them teach and half of them measure. Give more.`,
      );
  const classifier = tokenClassifier(teach.positive, teach.negative, model.info.V);
  return {
    name: texts.name,
    teach,
    measure,
    classifier,
    targets: targetIds(model, target, teach, classifier),
  };
}

function targetIds(
  model: Model,
  given: readonly string[] | undefined,
  { positive }: Texts,
  { weights }: TokenClassifier,
): number[] {
  const { encode, tokenStrings } = tokenizerOf(model);
  // One that is said twice counts once: probabilities of targets are added up.
  if (given)
    return [
      ...new Set(
        given.map((text) => {
          const ids = encode(text);
          if (ids.length !== 1)
            throw new UsageError(
              `--target ${JSON.stringify(text)} is ${ids.length} tokens (${tokenStrings(ids)
                .map((t) => JSON.stringify(t))
                .join(' ')}), expected one. A word inside of a text often begins with a space.`,
            );
          return ids[0]!;
        }),
      ),
    ];
  const counts = new Map<number, number>();
  for (const id of positive.flat()) counts.set(id, (counts.get(id) ?? 0) + 1);
  return [...counts]
    .map(([id, n]) => ({ id, gain: n * weights[id]! }))
    .sort((a, b) => b.gain - a.gain)
    .slice(0, TARGETS)
    .map(({ id }) => id);
}

/**
 * Density, largest activation and selectivity of every latent, and of some how often they fire in every text, from the first `tokens` tokens.
 */
export async function latentFacts(
  model: Model,
  sae: Sae,
  texts: readonly { readonly text: string; readonly positive: boolean }[],
  {
    hook,
    tokens,
    share,
    watch = [],
    signal,
    onProgress,
  }: {
    readonly hook: string;
    readonly tokens: number;
    /** Share of positive texts in text as it is. */
    readonly share: number;
    readonly watch?: readonly number[];
    readonly signal?: AbortSignal | undefined;
    readonly onProgress?: ((done: number, total: number) => void) | undefined;
  },
): Promise<LatentFacts> {
  const { F } = sae.config;
  const fired = { positive: new Float64Array(F), negative: new Float64Array(F) };
  const rows = { positive: 0, negative: 0 };
  const largest = new Float32Array(F);
  const lengths: number[] = [];
  const watched = new Map(watch.map((latent) => [latent, [] as number[]]));
  const list = texts.map(({ text }) => text);
  // Windows are encoded whole before the first text of them comes out.
  // That the SAE is of the model was looked at when it was placed.
  const options = { hook, otherModel: true, batchTokens: 2048, ...(signal ? { signal } : {}) };
  for await (const { index, code } of encodeTexts(model, sae, list, options)) {
    const side = texts[index]!.positive ? 'positive' : 'negative';
    const before = watch.map((latent) => fired[side][latent]!);
    for (const [slot, value] of code.values.entries()) {
      if (!(value > 0)) continue;
      const f = code.indices[slot]!;
      fired[side][f]!++;
      largest[f] = Math.max(largest[f]!, value);
    }
    for (const [i, latent] of watch.entries()) watched.get(latent)!.push(fired[side][latent]! - before[i]!);
    lengths.push(code.B);
    rows[side] += code.B;
    onProgress?.(Math.min(tokens, rows.positive + rows.negative), tokens);
    if (rows.positive + rows.negative >= tokens) break;
  }
  return {
    largest,
    tokens: lengths,
    fired: watched,
    // Either side by its own share of the text, which is not that of the tokens read.
    density: fired.negative.map(
      (n, f) => (1 - share) * rate(n, rows.negative) + share * rate(fired.positive[f]!, rows.positive),
    ),
    selectivity: fired.positive.map(
      (n, f) => rate(n, rows.positive) - rate(fired.negative[f]!, rows.negative),
    ),
  };
}

/** Of a latent without a named concept: the texts on which it fires most, against the others. */
export function ownConcept(
  model: Model,
  target: readonly string[] | undefined,
  latent: number,
  texts: readonly { readonly text: string }[],
  facts: LatentFacts,
): Concept {
  const fired = facts.fired.get(latent)!;
  const shares = fired.map((n, i) => rate(n, facts.tokens[i]!));
  const order = Array.from(shares.keys()).sort((a, b) => shares[b]! - shares[a]! || a - b);
  const count = Math.max(FEWEST_TEXTS, Math.round(OWN_SHARE * order.length));
  const firing = order.slice(0, count).filter((i) => shares[i]! > 0);
  const others = order.slice(count);
  if (firing.length < 2)
    throw new UsageError(
      `Latent ${latent} fires in ${firing.length} of ${order.length} held-out texts: too few to say what it stands for. Give --positive, or more --index-tokens.`,
    );
  const text = (i: number): string => texts[i]!.text;
  const total = (of: readonly number[], places: readonly number[]): number =>
    places.reduce((sum, i) => sum + of[i]!, 0);
  const shareOf = (places: readonly number[]): number =>
    rate(total(fired, places), total(facts.tokens, places));
  const concept = makeConcept(
    model,
    { name: `what #${latent} fires on`, positive: firing.map(text), negative: others.map(text) },
    target,
  );
  return { ...concept, selectivity: shareOf(firing) - shareOf(others) };
}
