/**
 * One vector per text: the mean of what the last block gives for its tokens, as sentence encoders such as MiniLM are trained to be read.
 *
 *     v = mean_t x_L[t]        t over all tokens of the text, [CLS] and [SEP] included; then v / |v|
 */
import { padBatch } from './batch.ts';
import type { Model, Tensor } from './types.ts';

export type SentenceOptions = {
  /** Longer texts are cut to this many tokens. Default: the model's context. */
  readonly maxTokens?: number;
  /** To length 1. Default true. */
  readonly normalize?: boolean;
  /** Looked at before every few texts. */
  readonly signal?: AbortSignal;
};

/** Texts that run together. */
const TEXTS = 16;

/**
 * Sentence vectors [n,D].
 *
 * @throws for a model without tokenizer.json
 * @example
 * const model = await openModel('models/all-MiniLM-L6-v2');
 * const { data, dims } = await sentenceVectors(model, ['A cat sat.', 'A kitten rested.'], { maxTokens: 256 });
 */
export async function sentenceVectors(
  { info, tokenizer, lastResidual }: Pick<Model, 'info' | 'tokenizer' | 'lastResidual'>,
  texts: readonly string[],
  { maxTokens = info.contextLength, normalize = true, signal }: SentenceOptions = {},
): Promise<Tensor> {
  if (!tokenizer) throw new Error(`${info.name} has no tokenizer.json, so text cannot be read`);
  if (!(Number.isInteger(maxTokens) && maxTokens > 2 && maxTokens <= info.contextLength))
    throw new RangeError(`maxTokens is ${maxTokens}, expected 3 to ${info.contextLength}`);
  const { D } = info;
  const { endId } = tokenizer;
  /** Cut before the end token. */
  const encode = (text: string): number[] => {
    const ids = tokenizer.encode(text, { bos: true });
    if (ids.length <= maxTokens) return ids;
    return endId === undefined ? ids.slice(0, maxTokens) : [...ids.slice(0, maxTokens - 1), endId];
  };
  const data = new Float32Array(texts.length * D);
  for (let from = 0; from < texts.length; from += TEXTS) {
    signal?.throwIfAborted();
    const batch = padBatch(texts.slice(from, from + TEXTS).map(encode));
    const rows = (await lastResidual(batch, signal ? { signal } : {})).data;
    for (let b = 0; b < batch.B; b++) {
      const vector = data.subarray((from + b) * D, (from + b + 1) * D);
      let tokens = 0;
      for (let i = b * batch.T; i < (b + 1) * batch.T; i++) {
        if (batch.mask[i] === 0) continue;
        tokens++;
        for (let d = 0; d < D; d++) vector[d]! += rows[i * D + d]!;
      }
      const length = normalize ? Math.hypot(...vector) : tokens;
      for (let d = 0; d < D; d++) vector[d]! /= length || 1;
    }
  }
  return { data, dims: [texts.length, D] };
}
