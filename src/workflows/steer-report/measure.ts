/**
 * What a push does, in two ways. On texts that somebody else wrote, at N positions:
 *
 *     target = mean_t Σ_{v ∈ target} p'_t(v)          p: next-token probabilities of the model as it is, p' of the pushed one
 *     kl     = mean_t Σ_v p_t(v) ln (p_t(v) / p'_t(v))
 *
 * and on texts that the pushed model writes itself: what a checker, a classifier and a judge say of each, its loss under the model as it is
 * (−mean ln p of its tokens; perplexity is the exponential), and how much it repeats itself.
 */
import type { TokenClassifier } from '../../eval/steering/classifier.ts';
import { repetition } from '../../eval/steering/repetition.ts';
import { type Model, padBatch, type TokenBatch } from '../../models/index.ts';
import type { SteerMeasureName } from '../../shared/steer-report.ts';
import { tokenizerOf } from '../streams.ts';
import type { Push } from './push.ts';

/** One number per document (target, kl) or per written text (the others), and some of the texts. */
export type Measured = {
  readonly values: { readonly [name in SteerMeasureName]?: readonly number[] };
  readonly texts: readonly string[];
};

export type Judge = (text: string) => number | Promise<number>;

export type MeasureOptions = {
  readonly prompt: string;
  readonly samples: number;
  readonly maxTokens: number;
  readonly temperature: number;
  readonly topP: number;
  readonly seed: number;
  readonly classifier: TokenClassifier;
  readonly targets: readonly number[];
  /** Documents that target and KL are measured on. */
  readonly documents: readonly (readonly number[])[];
  readonly checker?: ((text: string) => boolean) | undefined;
  readonly judge?: Judge | undefined;
  readonly signal?: AbortSignal | undefined;
};

/** Rows of logits at a time. */
const ROWS = 64;
const KEPT_TEXTS = 6;

/** Prepares what all pushes share; the result measures one of them. `prompt` replaces the options' own. */
export async function createMeasure(
  model: Model,
  options: MeasureOptions,
): Promise<(push: Push, prompt?: string) => Promise<Measured>> {
  const { samples, maxTokens, temperature, topP, seed, classifier, targets, checker, judge, signal } =
    options;
  const { D, V } = model.info;
  const stop = signal ? { signal } : {};
  const tokenizer = tokenizerOf(model);
  const bos = model.info.bosTokenId === undefined ? [] : [model.info.bosTokenId];
  const batch: TokenBatch = padBatch(options.documents.map((ids) => [...bos, ...ids]));
  const clean = (await model.lastResidual(batch, stop)).data;
  const isTarget = new Uint8Array(V);
  for (const id of targets) isTarget[id] = 1;
  const seeds = Array.from({ length: samples }, (_, i) => `${seed}/sample ${i}`);

  async function onDocuments(push: Push): Promise<{ target: number[]; kl: number[] }> {
    const pushed = push.interventions ? (await model.lastResidual(batch, { ...push, ...stop })).data : clean;
    const sums = Array.from({ length: batch.B }, () => ({ target: 0, kl: 0, n: 0 }));
    const real = Array.from(batch.mask.keys()).filter((i) => batch.mask[i] === 1);
    for (let from = 0; from < real.length; from += ROWS) {
      const rows = real.slice(from, from + ROWS);
      const take = (of: Float32Array): Float32Array => {
        const some = new Float32Array(rows.length * D);
        for (const [r, row] of rows.entries()) some.set(of.subarray(row * D, (row + 1) * D), r * D);
        return some;
      };
      const before = (await model.headLogits(take(clean), stop)).data;
      const after = pushed === clean ? before : (await model.headLogits(take(pushed), stop)).data;
      for (const [r, row] of rows.entries()) {
        const own = sums[Math.floor(row / batch.T)]!;
        const [p, q] = [before, after].map((logits) => logits.subarray(r * V, (r + 1) * V)) as [
          Float32Array,
          Float32Array,
        ];
        const [zp, zq] = [logSumExp(p), logSumExp(q)];
        for (let v = 0; v < V; v++) {
          if (isTarget[v]) own.target += Math.exp(q[v]! - zq);
          own.kl += Math.exp(p[v]! - zp) * (p[v]! - zp - q[v]! + zq);
        }
        own.n++;
      }
    }
    return {
      target: sums.map(({ target, n }) => target / n), // Rounding alone takes it below 0.
      kl: sums.map(({ kl, n }) => Math.max(0, kl / n)),
    };
  }

  async function losses(texts: readonly { promptIds: readonly number[]; ids: readonly number[] }[]) {
    const whole = padBatch(texts.map(({ promptIds, ids }) => [...promptIds, ...ids]));
    const { data } = await model.lossPerToken(whole, stop);
    return texts.map(({ promptIds, ids }, b) => {
      const first = b * (whole.T - 1) + promptIds.length - 1;
      return (
        data.subarray(first, first + ids.length).reduce((sum, x) => sum + x, 0) / Math.max(1, ids.length)
      );
    });
  }

  return async (push, prompt = options.prompt) => {
    signal?.throwIfAborted();
    const written = await model.generateBatch(
      seeds.map(() => prompt),
      { maxNewTokens: maxTokens, temperature, topP, seed: seeds, ...push, ...stop },
    );
    const texts = written.map(({ text }) => text);
    const judged: number[] = [];
    if (judge) for (const text of texts) judged.push(await judge(text));
    return {
      values: {
        ...(await onDocuments(push)),
        ...(checker ? { checker: texts.map((text) => Number(checker(text))) } : {}),
        classifier: texts.map((text) => Number(classifier.score(tokenizer.encode(text)) > 0)),
        ...(judge ? { judge: judged } : {}),
        loss: await losses(written),
        repetition: written.map(({ ids }) => repetition(ids)),
      },
      texts: texts.slice(0, KEPT_TEXTS),
    };
  };
}

function logSumExp(values: Float32Array): number {
  let largest = Number.NEGATIVE_INFINITY;
  for (const value of values) if (value > largest) largest = value;
  let sum = 0;
  for (const value of values) sum += Math.exp(value - largest);
  return largest + Math.log(sum);
}
