/**
 * The next token, from logits l [V]:
 *
 *     p_i ~ exp((l_i - max l) / temperature)       temperature 0: the first of the largest
 *     kept: the topK largest; of these, p_i >= minP max p; of these, the fewest largest whose sum reaches topP of it
 */
import type { Rng } from '../../shared/rng.ts';

export type Sampling = {
  readonly temperature: number;
  readonly topP: number;
  readonly topK?: number;
  readonly minP?: number;
};

/** @throws for values without meaning */
export function checkSampling({ temperature, topP, topK, minP }: Sampling): void {
  const expect = (ok: boolean, name: string, value: unknown, what: string) => {
    if (!ok) throw new Error(`${name} is ${value}, expected ${what}`);
  };
  expect(temperature >= 0 && temperature < Number.POSITIVE_INFINITY, 'temperature', temperature, '>= 0');
  expect(topP > 0 && topP <= 1, 'topP', topP, 'in (0, 1]');
  expect(topK === undefined || (Number.isSafeInteger(topK) && topK > 0), 'topK', topK, 'a positive integer');
  expect(minP === undefined || (minP >= 0 && minP <= 1), 'minP', minP, 'in [0, 1]');
}

/** The largest of [V]; the first of equals. */
export function argmax(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}

/** Tokens weaker than the strongest by this factor are sorted only when the stronger ones do not suffice. */
const STEPS = [1e-2, 1e-4, 1e-7, 0];

/** @throws when no logit is a finite number */
export function sampleToken(
  logits: Float32Array,
  { temperature, topP, topK = logits.length, minP = 0 }: Sampling,
  rng: Rng,
): number {
  const first = argmax(logits);
  if (!Number.isFinite(logits[first]))
    throw new Error(
      `The model gives ${logits[first]} for the next token: numbers beyond 32 bits, in its weights or in what it is changed by. Check the decoder rows of the SAE, or make the change smaller.`,
    );
  if (temperature === 0) return first;
  const best = logits[first]!;
  // A loop over all V: `Float64Array.from` with a function takes 6 to 8 times as long.
  const weights = new Float64Array(logits.length);
  let total = 0;
  for (let i = 0; i < logits.length; i++) {
    weights[i] = Math.exp((logits[i]! - best) / temperature);
    total += weights[i]!;
  }
  if (topP === 1 && topK >= logits.length && minP === 0) {
    let left = rng.uniform() * total;
    for (let i = 0; i < weights.length; i++) {
      left -= weights[i]!;
      if (left < 0) return i;
    }
    return first;
  }

  // The strongest, sorted, until there are enough of them: a whole vocabulary is seldom sorted.
  let kept = 0;
  let mass = 0;
  let order: number[] = [];
  for (const step of STEPS) {
    order = [];
    for (let i = 0; i < weights.length; i++) if (weights[i]! >= Math.max(step, minP)) order.push(i);
    order.sort((a, b) => weights[b]! - weights[a]! || a - b);
    const complete = step <= minP || order.length >= topK;
    order.length = Math.min(order.length, topK);
    // With topK or minP the rest counts for nothing.
    let sum = total;
    if (topK < logits.length || minP > 0) {
      if (!complete) continue;
      sum = order.reduce((all, i) => all + weights[i]!, 0);
    }
    [kept, mass] = [0, 0];
    while (kept < order.length && (kept === 0 || mass < topP * sum)) mass += weights[order[kept++]!]!;
    if (complete || mass >= topP * sum) break;
  }
  let left = rng.uniform() * mass;
  for (let i = 0; i < kept; i++) {
    left -= weights[order[i]!]!;
    if (left < 0) return order[i]!;
  }
  return order[kept - 1]!;
}
