/**
 * One text through a model, its code in several SAEs.
 *
 *     text -> ids [T] -> activations [T,D] at the hook of each SAE, from one pass of the model -> code, K per token
 */
import { tokenOffsets } from '../data/offsets.ts';
import { actsAt, clearRows } from '../hooked/fit.ts';
import { padBatch } from '../models/index.ts';
import type { Model, Tokenizer } from '../models/types.ts';
import { encode, type SparseCode } from '../sae/index.ts';
import { wholeCharacters } from '../workflows/snippets.ts';
import { badRequest } from './errors.ts';
import type { OpenRun } from './lab.ts';

export type Reading = {
  readonly ids: readonly number[];
  /** Together, without the names of special tokens that were put around it, the text. */
  readonly tokens: readonly string[];
  /** Characters [start, end) of the text, in UTF-16 units; empty for tokens that were put around it. */
  readonly places: readonly (readonly [number, number])[];
  /** Tokens that did not fit. */
  readonly cut: number;
  /** One per SAE; rows of special tokens are empty if they are ignored. */
  readonly codes: readonly SparseCode[];
};

/** One display string per token, where their text is not known; special tokens by their names. */
export function tokenTexts(
  { tokenizer }: Pick<Model, 'tokenizer'>,
  ids: readonly number[],
  peak?: number,
): string[] {
  if (!tokenizer) return ids.map((id) => `[${id}]`);
  const names = tokenizer.tokenStrings(ids);
  return wholeCharacters(tokenizer, ids, peak).map((text, i) =>
    tokenizer.specialIds.has(ids[i]!) ? names[i]! : text,
  );
}

/** Tokens of a text, each with the characters that it stands for, at most `most` of them. */
export function placedTokens(
  tokenizer: Tokenizer,
  text: string,
  most = Number.POSITIVE_INFINITY,
): Omit<Reading, 'codes'> {
  const all = tokenizer.encode(text, { bos: true });
  const around = tokenizer.encode('', { bos: true }).length;
  const before = Math.min(1, around);
  const ids = all.slice(0, most);
  // One more than is shown: the last token may take what is left of the text.
  const own = all.slice(before, all.length - (around - before)).slice(0, ids.length + 1);
  const { starts, ends } = tokenOffsets(text, own, tokenizer);
  const names = tokenizer.tokenStrings(ids);
  const places = ids.map((_, t): [number, number] => {
    const i = t - before;
    return i < 0 ? [0, 0] : i < own.length ? [starts[i]!, ends[i]!] : [text.length, text.length];
  });
  let shown = 0;
  const tokens = places.map(([start, end], t) => {
    if (start === end && tokenizer.specialIds.has(ids[t]!)) return names[t]!;
    // Tokens that share a character have the same place; it is shown once.
    const from = Math.max(start, shown);
    shown = Math.max(end, shown);
    return text.slice(from, Math.max(from, end));
  });
  return { ids, tokens, places, cut: all.length - ids.length };
}

/** @param open runs of one model */
export async function readText(
  open: readonly OpenRun[],
  text: string,
  { ignoreBos, signal }: { ignoreBos: boolean; signal: AbortSignal },
): Promise<Reading> {
  const [{ model, modelName }] = open as [OpenRun];
  const { tokenizer, info } = model;
  if (!tokenizer) throw badRequest(`${modelName} has no tokenizer.json, so texts cannot be read.`, 'text');
  const read = placedTokens(tokenizer, text, info.contextLength);
  const { ids } = read;
  if (ids.length === 0) throw badRequest('text: found no token, expected at least one.', 'text');
  const batch = padBatch([ids]);
  const hooks = [...new Set(open.map(({ hook }) => hook))];
  const { cache } = await model.run(batch, { hooks, signal });
  const acts = actsAt(batch, ignoreBos ? tokenizer.specialIds : undefined);
  const codes: SparseCode[] = [];
  for (const { sae, screen, hook } of open) {
    const code = await encode(sae, cache[hook]!.data, { screen, signal });
    clearRows(code, acts);
    codes.push(code);
  }
  return { ...read, codes };
}

/** What fires at one token, strongest first. */
export function firing({ K, values, indices }: SparseCode, t: number): { latent: number; value: number }[] {
  const found: { latent: number; value: number }[] = [];
  for (let k = t * K; k < (t + 1) * K; k++)
    if (values[k] !== 0) found.push({ latent: indices[k]!, value: values[k]! });
  return found.sort((a, b) => b.value - a.value || a.latent - b.latent);
}
