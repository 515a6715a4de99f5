/** Choosing the next token. Not here: a key-value cache; every token runs the whole sequence again. */
import { createRng, type Rng } from '../shared/rng.ts';
import type { GenerateOptions } from './types.ts';

/** The largest of [V]; the first of equals. */
export function argmax(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}

/**
 * Samples from softmax(logits / temperature), restricted to the smallest set of tokens whose probability reaches topP
 * (Holtzman et al. 2020). Temperature 0 is greedy.
 */
export function sampleToken(logits: Float32Array, temperature: number, topP: number, rng: Rng): number {
  if (temperature === 0) return argmax(logits);
  const best = logits[argmax(logits)]!;
  const weights = Float64Array.from(logits, (logit) => Math.exp((logit - best) / temperature));
  const order = Array.from(weights.keys()).sort((a, b) => weights[b]! - weights[a]! || a - b);
  const total = weights.reduce((sum, w) => sum + w, 0);
  let kept = 0;
  let mass = 0;
  while (kept < order.length && (kept === 0 || mass < topP * total)) mass += weights[order[kept++]!]!;
  let left = rng.uniform() * mass;
  for (let i = 0; i < kept; i++) {
    left -= weights[order[i]!]!;
    if (left < 0) return order[i]!;
  }
  return order[kept - 1]!;
}

/** Prompt ids and continuation; ends before an end token, at maxNewTokens or when the context is full. */
export async function generateIds(
  prompt: readonly number[],
  nextLogits: (ids: readonly number[]) => Promise<Float32Array>,
  {
    maxNewTokens = 64,
    temperature = 0,
    topP = 1,
    seed = 0,
    signal,
    endIds,
    contextLength,
  }: GenerateOptions & { endIds: readonly number[]; contextLength: number },
): Promise<number[]> {
  if (!(temperature >= 0)) throw new Error(`temperature is ${temperature}, expected >= 0`);
  if (!(topP > 0 && topP <= 1)) throw new Error(`topP is ${topP}, expected in (0, 1]`);
  const rng = createRng(seed);
  const ids = [...prompt];
  const limit = Math.min(contextLength, prompt.length + maxNewTokens);
  while (ids.length < limit) {
    signal?.throwIfAborted();
    const next = sampleToken(await nextLogits(ids), temperature, topP, rng);
    if (endIds.includes(next)) break;
    ids.push(next);
  }
  return ids;
}
