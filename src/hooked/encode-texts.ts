/**
 * Many texts -> the sparse code of each.
 *
 *     texts -> ids [t] -> batches of about equal lengths, padded [B,T] -> activations [B,T,D] at the hook -> code, K per token
 *
 * Padding costs time and changes nothing else: texts are taken in windows, sorted by length within a window, and come out in their own order.
 */
import { padBatch } from '../models/batch.ts';
import { type Fitting, type Placement, placeSae } from '../models/place-sae.ts';
import type { Model } from '../models/types.ts';
import { encode, type Sae, type Screening, type SparseCode } from '../sae/index.ts';
import { actsAt, clearRows } from './fit.ts';

/** Texts that are sorted together have so many batches' tokens. */
const WINDOW_BATCHES = 8;

export type EncodedText = {
  /** Its place among the texts, from 0. */
  readonly index: number;
  readonly text: string;
  /** [t], BOS first where the model has one. */
  readonly ids: Int32Array;
  /** What to show for each token. */
  readonly tokens: readonly string[];
  /** One row per token, best latent first; rows of special tokens are empty. */
  readonly code: SparseCode;
  /** Tokens at the end that did not fit and were left out. */
  readonly cut: number;
};

export type EncodeProgress = {
  /** Texts and tokens that are encoded. */
  readonly texts: number;
  readonly tokens: number;
  /** All texts, where their number is known. */
  readonly total: number | undefined;
};

export type EncodeTextsOptions = Placement & {
  /** Positions of one padded batch. Default 4,096. */
  readonly batchTokens?: number;
  /** Longer texts are cut, and say so in `cut`. Default and at most: the model's context. */
  readonly maxTokens?: number;
  /** Leave the rows of special tokens (BOS, …) empty: SAEs are not trained on those. Default true. */
  readonly excludeSpecial?: boolean;
  /** As of `encode`: the same codes for less work. */
  readonly screen?: Screening | undefined;
  /** Looked at before every batch. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: EncodeProgress) => void;
};

/**
 * Encodes texts, or one, in order. Only a window of them is held at a time, so the texts may come from anywhere and never end.
 *
 * @throws when the SAE does not fit the model (`placeSae`), the model has no tokenizer, a size is below 1, or codes are signed and `screen` is given
 * @example
 * for await (const { tokens, code } of encodeTexts(model, sae, ['One text', 'and another'])) console.log(tokens, code.indices);
 */
export async function* encodeTexts(
  model: Fitting & Pick<Model, 'run' | 'tokenizer'>,
  sae: Sae,
  texts: Iterable<string> | AsyncIterable<string>,
  options: EncodeTextsOptions = {},
): AsyncGenerator<EncodedText, void, undefined> {
  const { batchTokens = 4096, excludeSpecial = true, screen, signal, onProgress } = options;
  const { tokenizer, info } = model;
  const hook = placeSae(model, sae, options);
  if (!tokenizer) throw new Error(`${info.name} has no tokenizer.json, so texts cannot be encoded.`);
  if (!(batchTokens >= 1)) throw new Error(`batchTokens is ${batchTokens}, expected 1 or more`);
  const longest = Math.min(options.maxTokens ?? info.contextLength, info.contextLength);
  if (!(longest >= 1)) throw new Error(`maxTokens is ${options.maxTokens}, expected 1 or more`);
  const specialIds = excludeSpecial ? tokenizer.specialIds : undefined;
  // A string is iterable too, by characters, which nobody means.
  const list = typeof texts === 'string' ? [texts] : texts;
  const total = Array.isArray(list) ? list.length : undefined;
  const stop = signal ? { signal } : {};
  const done = { texts: 0, tokens: 0 };

  type Waiting = Omit<EncodedText, 'code'>;

  /** The code of every text of a batch. */
  async function encodeBatch(batch: readonly Waiting[]): Promise<SparseCode[]> {
    signal?.throwIfAborted();
    const padded = padBatch(batch.map(({ ids }) => ids));
    const { cache } = await model.run(padded, { hooks: [hook], ...stop });
    const code = await encode(sae, cache[hook]!.data, { ...stop, screen });
    clearRows(code, actsAt(padded, specialIds));
    const { K } = code;
    done.texts += batch.length;
    done.tokens += padded.mask.reduce((sum, real) => sum + real, 0);
    onProgress?.({ ...done, total });
    return batch.map(({ ids }, b) => {
      const [from, to] = [b * padded.T * K, (b * padded.T + ids.length) * K];
      return { B: ids.length, K, values: code.values.slice(from, to), indices: code.indices.slice(from, to) };
    });
  }

  async function* encodeWindow(window: readonly Waiting[]): AsyncGenerator<EncodedText> {
    const codes = new Map<Waiting, SparseCode>();
    const empty = window.filter(({ ids }) => ids.length === 0);
    for (const text of empty)
      codes.set(text, {
        B: 0,
        K: sae.config.architecture === 'topk' ? sae.config.K : 1,
        values: new Float32Array(),
        indices: new Int32Array(),
      });
    const rest = window.filter(({ ids }) => ids.length > 0).sort((a, b) => a.ids.length - b.ids.length);
    while (rest.length > 0) {
      // From the longest down: its length is the batch's.
      const rows = Math.max(1, Math.floor(batchTokens / rest.at(-1)!.ids.length));
      const batch = rest.splice(-rows);
      for (const [b, code] of (await encodeBatch(batch)).entries()) codes.set(batch[b]!, code);
    }
    for (const text of window) yield { ...text, code: codes.get(text)! };
  }

  let window: Waiting[] = [];
  let waiting = 0;
  let index = 0;
  for await (const text of list) {
    signal?.throwIfAborted();
    const all = tokenizer.encode(text, { bos: true });
    const kept = all.slice(0, longest);
    const ids = Int32Array.from(kept);
    window.push({
      index: index++,
      text,
      ids,
      tokens: tokenizer.tokenStrings(kept),
      cut: all.length - kept.length,
    });
    waiting += Math.max(1, ids.length);
    if (waiting < WINDOW_BATCHES * batchTokens) continue;
    yield* encodeWindow(window);
    window = [];
    waiting = 0;
  }
  yield* encodeWindow(window);
}
