/**
 * What a push does, in two ways. On texts that somebody else wrote, at N positions:
 *
 *     target = mean_t Σ_{v ∈ target} p'_t(v)          p: next-token probabilities of the model as it is, p' of the pushed one
 *     kl     = mean_t Σ_v p_t(v) ln (p_t(v) / p'_t(v))
 *
 * and on texts that the pushed model writes itself: what a checker, a classifier and a judge say of each, its loss under the model as it is
 * (−mean ln p of its tokens; perplexity is the exponential), and how much it repeats itself.
 *
 * Several pushes are measured together: they write in one batch, each in rows of its own, and share the unsteered probabilities p.
 */
import type { TokenClassifier } from '../../eval/steering/classifier.ts';
import { repetition } from '../../eval/steering/repetition.ts';
import { type Model, padBatch, type TokenBatch } from '../../models/index.ts';
import type { SteerMeasureName } from '../../shared/steer-report.ts';
import { inRows } from '../../steer/index.ts';
import { tokenizerOf } from '../streams.ts';
import type { Push } from './push.ts';

/** One number per document (target, kl) or per written text (the others), and some of the texts. */
export type Measured = {
  readonly values: { readonly [name in SteerMeasureName]?: readonly number[] };
  readonly texts: readonly string[];
};

/** A push, and the prompt in place of the options' own. */
export type Pushed = { readonly push: Push; readonly prompt?: string };

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
/** Texts that are written at once, where there are as many, and the memory that their keys and values may take. */
const TOGETHER = 256;
const CACHE_BYTES = 512 * 2 ** 20;

/** How many pushes write in one batch. */
export function pushesTogether(
  { layers, kvHeads, headDim, contextLength }: Model['info'],
  { samples, maxTokens }: Pick<MeasureOptions, 'samples' | 'maxTokens'>,
): number {
  const perText = 2 * 4 * layers * kvHeads * headDim * Math.min(contextLength, maxTokens + 64);
  return Math.max(1, Math.floor(Math.min(TOGETHER, CACHE_BYTES / perText) / samples));
}

/** Prepares what all pushes share; the result measures some of them, in one batch. */
export async function createMeasure(
  model: Model,
  options: MeasureOptions,
): Promise<(pushes: readonly Pushed[]) => Promise<Measured[]>> {
  const { samples, maxTokens, temperature, topP, seed, classifier, targets, checker, judge, signal } =
    options;
  const { D, V } = model.info;
  const stop = signal ? { signal } : {};
  const tokenizer = tokenizerOf(model);
  const bos = model.info.bosTokenId === undefined ? [] : [model.info.bosTokenId];
  const batch: TokenBatch = padBatch(options.documents.map((ids) => [...bos, ...ids]));
  const clean = (await model.lastResidual(batch, stop)).data;
  const real = Array.from(batch.mask.keys()).filter((i) => batch.mask[i] === 1);
  const seeds = Array.from({ length: samples }, (_, i) => `${seed}/sample ${i}`);

  async function onDocuments(pushes: readonly Pushed[]): Promise<{ target: number[]; kl: number[] }[]> {
    const pushed: Float32Array[] = [];
    for (const { push } of pushes)
      pushed.push(push.interventions ? (await model.lastResidual(batch, { ...push, ...stop })).data : clean);
    const sums = pushes.map(() => Array.from({ length: batch.B }, () => ({ target: 0, kl: 0, n: 0 })));
    const p = new Float64Array(V);
    for (let from = 0; from < real.length; from += ROWS) {
      const rows = real.slice(from, from + ROWS);
      const logitsOf = async (residual: Float32Array): Promise<Float32Array> => {
        const some = new Float32Array(rows.length * D);
        for (const [r, row] of rows.entries()) some.set(residual.subarray(row * D, (row + 1) * D), r * D);
        return (await model.headLogits(some, stop)).data;
      };
      const before = await logitsOf(clean);
      const after: Float32Array[] = [];
      for (const residual of pushed) after.push(residual === clean ? before : await logitsOf(residual));
      for (const [r, row] of rows.entries()) {
        const plain = before.subarray(r * V, (r + 1) * V);
        const z = logSumExp(plain);
        // KL = Σ p ln p − Σ p ln p'
        let negentropy = 0;
        for (let v = 0; v < V; v++) {
          p[v] = Math.exp(plain[v]! - z);
          negentropy += p[v]! * (plain[v]! - z);
        }
        for (const [i, logits] of after.entries()) {
          const own = sums[i]![Math.floor(row / batch.T)]!;
          const q = logits.subarray(r * V, (r + 1) * V);
          const zq = logSumExp(q);
          let cross = 0;
          for (let v = 0; v < V; v++) cross += p[v]! * (q[v]! - zq);
          for (const v of targets) own.target += Math.exp(q[v]! - zq);
          own.kl += negentropy - cross;
          own.n++;
        }
      }
    }
    return sums.map((documents) => ({
      target: documents.map(({ target, n }) => target / n),
      // Rounding alone takes it below 0.
      kl: documents.map(({ kl, n }) => Math.max(0, kl / n)),
    }));
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

  return async (pushes) => {
    signal?.throwIfAborted();
    const interventions = pushes.flatMap(({ push }, i) =>
      inRows(push.interventions ?? [], [i * samples, (i + 1) * samples]),
    );
    const written = await model.generateBatch(
      pushes.flatMap(({ prompt = options.prompt }) => seeds.map(() => prompt)),
      {
        ...{ maxNewTokens: maxTokens, temperature, topP, seed: pushes.flatMap(() => seeds), ...stop },
        ...(interventions.length > 0 ? { interventions } : {}),
      },
    );
    const onTexts = await onDocuments(pushes);
    const measured: Measured[] = [];
    for (const [i, { target, kl }] of onTexts.entries()) {
      const own = written.slice(i * samples, (i + 1) * samples);
      const texts = own.map(({ text }) => text);
      const judged: number[] = [];
      if (judge) for (const text of texts) judged.push(await judge(text));
      measured.push({
        values: {
          ...{ target, kl },
          ...(checker ? { checker: texts.map((text) => Number(checker(text))) } : {}),
          classifier: texts.map((text) => Number(classifier.score(tokenizer.encode(text)) > 0)),
          ...(judge ? { judge: judged } : {}),
          loss: await losses(own),
          repetition: own.map(({ ids }) => repetition(ids)),
        },
        texts: texts.slice(0, KEPT_TEXTS),
      });
    }
    return measured;
  };
}

export function logSumExp(values: Float32Array): number {
  let largest = Number.NEGATIVE_INFINITY;
  for (const value of values) if (value > largest) largest = value;
  let sum = 0;
  for (const value of values) sum += Math.exp(value - largest);
  return largest + Math.log(sum);
}
