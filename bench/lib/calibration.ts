/**
 * Is the rank test of a steered latent among matched random ones right on a real model when there is nothing to find, and does it find what is there?
 *
 *     effect of a direction d at strength a  =  mean over prompts of  ln p(target | steered) − ln p(target)      target: a random token of the seed
 *
 * Nothing to find: of every seed, `tests` random latents, each among its own matched ones; no latent serves twice in a seed, so that the ranks are
 * independent. Something: the direction whose addition raises the logit of the target most directly, W_U[target], as long as the latents' own.
 * Its true size is the mean effect over a large set of prompts; a seed sees some of them and gives an interval.
 */

import { bootstrap } from '../../src/eval/index.ts';
import { clopperPearson } from '../../src/eval/statistics/exact-binomial.ts';
import { uniformityTest } from '../../src/eval/statistics/kolmogorov.ts';
import { rankPValue } from '../../src/eval/statistics/rank-test.ts';
import { withNorm } from '../../src/eval/steering/directions.ts';
import { matchedLatents, matchedStrata, shuffled } from '../../src/eval/steering/matched.ts';
import { createUnembed } from '../../src/explain/unembed.ts';
import { encodeTexts } from '../../src/hooked/index.ts';
import { type Model, padBatch, type TokenBatch } from '../../src/models/index.ts';
import type { Sae } from '../../src/sae/index.ts';
import type { Interval } from '../../src/shared/eval.ts';
import { createRng } from '../../src/shared/rng.ts';

export type CalibrationOptions = {
  readonly hook: string;
  readonly texts: readonly string[];
  readonly seeds: number;
  readonly tests: number;
  readonly controls: number;
  readonly prompts: number;
  readonly promptTokens: number;
  readonly strength: number;
  readonly progress?: (line: string) => void;
};

export type Calibration = {
  readonly falseFindings: Interval;
  readonly uniformity: { readonly D: number; readonly p: number };
  readonly planted: readonly {
    readonly seed: number;
    readonly p: number;
    readonly truth: number;
    readonly found: Interval;
    readonly holds: boolean;
  }[];
  readonly plantedFound: number;
};

export async function calibrate(model: Model, sae: Sae, options: CalibrationOptions): Promise<Calibration> {
  const { hook, texts, seeds, tests, controls, prompts, promptTokens: T, strength, progress } = options;
  const { D, F } = sae.config;
  const norms = Float64Array.from({ length: F }, (_, f) =>
    Math.hypot(...sae.W_dec.subarray(f * D, (f + 1) * D)),
  );
  const fired = new Float64Array(F);
  for await (const { code } of encodeTexts(model, sae, texts))
    for (const [slot, value] of code.values.entries()) if (value > 0) fired[code.indices[slot]!]!++;
  const strata = matchedStrata(fired, norms, controls + 1);
  const rows = texts
    .map((text) => model.tokenizer!.encode(text, { bos: true }).slice(0, T))
    .filter(({ length }) => length === T);

  /** ln p(target) at the end of every prompt. */
  const logProbs = async (batch: TokenBatch, target: number, direction?: Float32Array): Promise<number[]> => {
    const steer = direction && { hook, directions: direction, strengths: Float32Array.of(1) };
    const { data } = await model.lastResidual(batch, steer ? { steer } : {});
    const ends = new Float32Array(batch.B * D);
    for (let b = 0; b < batch.B; b++) ends.set(data.subarray((b * T + T - 1) * D, (b + 1) * T * D), b * D);
    const { data: logits } = await model.headLogits(ends);
    return Array.from({ length: batch.B }, (_, b) => {
      const own = logits.subarray(b * V, (b + 1) * V);
      const largest = own.reduce((most, x) => Math.max(most, x), Number.NEGATIVE_INFINITY);
      return own[target]! - largest - Math.log(own.reduce((sum, x) => sum + Math.exp(x - largest), 0));
    });
  };
  const effects = async (batch: TokenBatch, target: number, clean: number[], direction: Float32Array) =>
    (await logProbs(batch, target, direction)).map((x, b) => x - clean[b]!);
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

  // Logits of every coordinate: column `target` is the row of the unembedding.
  const { V } = model.info;
  const identity = Float32Array.from({ length: D * D }, (_, i) => (i % (D + 1) === 0 ? 1 : 0));
  const unembedding = await createUnembed(model)(identity, D);

  const p: number[] = [];
  const planted: Calibration['planted'][number][] = [];
  const all = padBatch(rows.slice(0, 64 * prompts));
  for (let seed = 0; seed < seeds; seed++) {
    const rng = createRng(`calibration/${seed}`);
    const mixed = shuffled(rows, `prompts/${seed}`);
    const batch = padBatch(mixed.slice(0, prompts));
    // An interval needs more of them than a rank.
    const more = padBatch(mixed.slice(0, 4 * prompts));
    // A token that occurs, so that its probability is not all rounding.
    const target = rng.pick(rng.pick(rows).slice(1));
    const clean = await logProbs(batch, target);
    const effect = async (latent: number) =>
      mean(
        await effects(
          batch,
          target,
          clean,
          withNorm(sae.W_dec.slice(latent * D, (latent + 1) * D), strength),
        ),
      );
    // Strata cut into groups: the first of a group is tested, the others are its controls.
    const groups = shuffled(
      strata.flatMap((stratum) => {
        const mixed = shuffled(Array.from(stratum), rng.u32());
        return Array.from({ length: Math.floor(mixed.length / (controls + 1)) }, (_, i) =>
          mixed.slice(i * (controls + 1), (i + 1) * (controls + 1)),
        );
      }),
      rng.u32(),
    ).slice(0, tests);
    if (groups.length < tests)
      throw new Error(`${groups.length} groups of ${controls + 1} latents, expected ${tests}.`);
    for (const group of groups) {
      const [own, ...others] = await inTurn(group, effect);
      p.push(rankPValue(own!, others, 'greater', rng.uniform()));
    }

    const direction = withNorm(
      Float32Array.from({ length: D }, (_, d) => unembedding[d * V + target]!),
      strength,
    );
    const values = await effects(more, target, await logProbs(more, target), direction);
    const truth = mean(await effects(all, target, await logProbs(all, target), direction));
    const [found] = bootstrap(
      { U: values.length, C: 2, sums: values.flatMap((value) => [1, value]) },
      ([n, sum]) => [sum! / n!],
      { seed, level: 0.99, unit: 'samples' },
    ) as [Interval];
    const stratum = rng.pick(strata);
    const others = await inTurn(matchedLatents(strata, stratum[0]!, controls, rng.u32()), effect);
    const pPlanted = rankPValue(mean(await effects(batch, target, clean, direction)), others);
    const holds =
      pPlanted <= 0.05 &&
      Math.sign(found.value!) === Math.sign(truth) &&
      found.low! <= truth &&
      truth <= found.high!;
    planted.push({ seed, p: pPlanted, truth, found, holds });
    progress?.(
      `seed ${seed + 1} of ${seeds}: planted ${found.value!.toFixed(2)} of ${truth.toFixed(2)}, p ${pPlanted}`,
    );
  }
  return {
    falseFindings: clopperPearson(p.filter((x) => x <= 0.05).length, p.length, 0.99, 'latents'),
    uniformity: uniformityTest(p),
    planted,
    plantedFound: planted.filter(({ holds }) => holds).length / planted.length,
  };
}

/** One after the other: the engine has one session. */
async function inTurn<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (const item of items) results.push(await work(item));
  return results;
}

/** 5 % is inside of the interval, uniform at 1 %, and the planted direction found with sign and size in 95 % of the seeds. */
export function calibrationHolds({ falseFindings, uniformity, plantedFound }: Calibration): boolean {
  return (
    falseFindings.low! <= 0.05 && 0.05 <= falseFindings.high! && uniformity.p >= 0.01 && plantedFound >= 0.95
  );
}
