/**
 * Directions from two sets of texts. Rows [n,D] are the mean activations of a text over its tokens, or its last token's.
 *
 *     mean    v = mean(positive) - mean(negative)
 *     pca     u = first principal component of both sets together, towards the positive one
 *     probe   u = w / |w|,  w, b = argmin |w|^2 / 2 + sum_i ln(1 + exp(-y_i (w . x_i + b)))      x centred and scaled to mean |x|^2 = 1
 *
 * pca and probe give v = u (mean(positive) - mean(negative)) . u, so that strength 1 is the distance between the sets for all three.
 */
import { selectHooks } from '../models/hooks.ts';
import { rowWidth } from '../models/steering/plan.ts';
import type { Model } from '../models/types.ts';
import type { SteeringVector } from './vector-file.ts';

export const vectorMethods = ['mean', 'pca', 'probe'] as const;
export type VectorMethod = (typeof vectorMethods)[number];

export type VectorOptions = {
  readonly hook: string;
  readonly positive: readonly string[];
  readonly negative: readonly string[];
  /** Default: mean. */
  readonly method?: VectorMethod;
  /** Which tokens stand for a text. Default: mean, over all but special ones. */
  readonly tokens?: 'mean' | 'last';
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
};

/** Texts that run at once. */
const TOGETHER = 8;

/**
 * A direction that leads from the negative texts to the positive ones, for `steer` and files.
 *
 * @throws for an unknown hook, a set without texts, and sets that do not differ
 * @example
 * const { vector, hook } = await createVector(model, { hook: 'blocks.2.hook_resid_post', positive: ['bonjour'], negative: ['hello'] });
 * const interventions = await steer(model, [{ vector, hook, value: 2 }]);
 */
export async function createVector(
  model: Pick<Model, 'hooks' | 'info' | 'runWithCache' | 'tokenizer'>,
  { hook: name, positive, negative, method = 'mean', tokens = 'mean', signal, onProgress }: VectorOptions,
): Promise<SteeringVector> {
  const [hook] = selectHooks(model.hooks, name);
  const D = rowWidth(hook!);
  for (const [set, texts] of Object.entries({ positive, negative }))
    if (texts.length === 0)
      throw new Error(`There are no ${set} texts; a direction needs some of both kinds.`);
  const all = [...positive, ...negative];
  const rows = new Float32Array(all.length * D);
  for (let first = 0; first < all.length; first += TOGETHER) {
    const texts = all.slice(first, first + TOGETHER);
    const { cache, batch } = await model.runWithCache(texts, hook!.name, signal ? { signal } : {});
    const { data } = cache[hook!.name]!;
    for (const [b, text] of texts.entries()) {
      const at = Array.from({ length: batch.T }, (_, t) => b * batch.T + t).filter(
        (i) => batch.mask[i] && !model.tokenizer?.specialIds.has(batch.ids[i]!),
      );
      if (at.length === 0) throw new Error(`The text ${JSON.stringify(text)} has no tokens of its own.`);
      const row = rows.subarray((first + b) * D, (first + b + 1) * D);
      const used = tokens === 'last' ? at.slice(-1) : at;
      for (const i of used) for (let d = 0; d < D; d++) row[d]! += data[i * D + d]! / used.length;
    }
    onProgress?.(Math.min(all.length, first + TOGETHER), all.length);
  }
  const split = positive.length * D;
  const { vector, from, to } = directionOf(rows.subarray(0, split), rows.subarray(split), D, method);
  const metadata = {
    ...{ model: model.info.name, model_hash: model.info.hash, method, tokens },
    ...{ positive: String(positive.length), negative: String(negative.length) },
    ...{ projection_positive: String(to), projection_negative: String(from) },
  };
  return { vector, hook: hook!.name, metadata };
}

/**
 * The direction [D] between two sets of rows, and where the sets lie along it: their mean products with the unit direction.
 *
 * @throws when the sets do not differ along it
 */
export function directionOf(
  positive: Float32Array,
  negative: Float32Array,
  D: number,
  method: VectorMethod,
): { vector: Float32Array; from: number; to: number } {
  const [plus, minus] = [meanRow(positive, D), meanRow(negative, D)];
  const difference = plus.map((value, d) => value - minus[d]!);
  const u = unit(
    method === 'mean'
      ? difference
      : method === 'pca'
        ? principal([positive, negative], D, difference)
        : probe(positive, negative, D),
  );
  const [from, to] = [dot(minus, u), dot(plus, u)];
  if (!(Math.abs(to - from) > 0)) throw new Error('The two sets of texts do not differ at this hook.');
  const length = to - from;
  return { vector: Float32Array.from(u, (value) => value * length), from, to };
}

function meanRow(rows: Float32Array, D: number): Float64Array {
  const mean = new Float64Array(D);
  for (let i = 0; i < rows.length; i++) mean[i % D]! += rows[i]! / (rows.length / D);
  return mean;
}

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0;
  for (let d = 0; d < a.length; d++) sum += a[d]! * b[d]!;
  return sum;
};

function unit(v: Float64Array): Float64Array {
  const length = Math.sqrt(dot(v, v));
  if (!(length > 0)) throw new Error('The two sets of texts do not differ at this hook.');
  return v.map((value) => value / length);
}

/** Rows about their common mean, [n] of [D]. */
function centred(sets: readonly Float32Array[], D: number): Float64Array[] {
  const all = sets.flatMap((rows) =>
    Array.from({ length: rows.length / D }, (_, i) => Float64Array.from(rows.subarray(i * D, (i + 1) * D))),
  );
  const mean = new Float64Array(D);
  for (const row of all) for (let d = 0; d < D; d++) mean[d]! += row[d]! / all.length;
  for (const row of all) for (let d = 0; d < D; d++) row[d]! -= mean[d]!;
  return all;
}

/** First eigenvector of X^T X by power iteration, with the sign of `towards`. */
function principal(sets: readonly Float32Array[], D: number, towards: Float64Array): Float64Array {
  const rows = centred(sets, D);
  let u = unit(towards);
  for (let i = 0; i < 2000; i++) {
    const next = new Float64Array(D);
    for (const row of rows) {
      const along = dot(row, u);
      for (let d = 0; d < D; d++) next[d]! += along * row[d]!;
    }
    const turned = unit(next);
    const done = 1 - Math.abs(dot(turned, u)) < 1e-14;
    u = turned;
    if (done) break;
  }
  return dot(u, towards) < 0 ? u.map((value) => -value) : u;
}

/** Logistic regression by Nesterov's method: the loss is strongly convex with curvature from 1 to L. */
function probe(positive: Float32Array, negative: Float32Array, D: number): Float64Array {
  const rows = centred([positive, negative], D);
  const scale = Math.sqrt(rows.reduce((sum, row) => sum + dot(row, row), 0) / rows.length) || 1;
  for (const row of rows) for (let d = 0; d < D; d++) row[d]! /= scale;
  const n = rows.length;
  // |x|^2 + 1 for the bias, summed, times the largest slope of the logistic function.
  const L = 1 + (2 * n) / 4;
  let w = new Float64Array(D + 1);
  let ahead = w;
  for (let i = 1; i < 5000; i++) {
    const gradient = ahead.slice();
    gradient[D] = 0;
    for (const [r, row] of rows.entries()) {
      const y = r < positive.length / D ? 1 : 0;
      const wrong = 1 / (1 + Math.exp(-dot(row, ahead) - ahead[D]!)) - y;
      for (let d = 0; d < D; d++) gradient[d]! += wrong * row[d]!;
      gradient[D]! += wrong;
    }
    const next = ahead.map((value, d) => value - gradient[d]! / L);
    ahead = next.map((value, d) => value + ((i - 1) / (i + 2)) * (value - w[d]!));
    w = next;
    if (dot(gradient, gradient) < 1e-20) break;
  }
  return w.slice(0, D);
}
