/**
 * One text through a model, its code in several SAEs.
 *
 *     text -> ids [T] -> activations [T,D] at the hook of each SAE, from one pass of the model -> code, K per token
 */
import { actsAt, clearRows } from '../hooked/fit.ts';
import { padBatch } from '../models/index.ts';
import type { Model } from '../models/types.ts';
import { encode, type SparseCode } from '../sae/index.ts';
import { wholeCharacters } from '../workflows/snippets.ts';
import { badRequest } from './errors.ts';
import type { OpenRun } from './lab.ts';

export type Reading = {
  readonly ids: readonly number[];
  readonly tokens: readonly string[];
  /** Tokens that did not fit. */
  readonly cut: number;
  /** One per SAE; rows of special tokens are empty if they are ignored. */
  readonly codes: readonly SparseCode[];
};

/** One display string per token; special tokens by their names. */
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

/** @param open runs of one model */
export async function readText(
  open: readonly OpenRun[],
  text: string,
  { ignoreBos, signal }: { ignoreBos: boolean; signal: AbortSignal },
): Promise<Reading> {
  const [{ model, modelName }] = open as [OpenRun];
  const { tokenizer, info } = model;
  if (!tokenizer) throw badRequest(`${modelName} has no tokenizer.json, so texts cannot be read.`, 'text');
  const all = tokenizer.encode(text, { bos: true });
  const ids = all.slice(0, info.contextLength);
  const cut = all.length - ids.length;
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
  return { ids, tokens: tokenTexts(model, ids), cut, codes };
}

/** What fires at one token, strongest first. */
export function firing({ K, values, indices }: SparseCode, t: number): { latent: number; value: number }[] {
  const found: { latent: number; value: number }[] = [];
  for (let k = t * K; k < (t + 1) * K; k++)
    if (values[k] !== 0) found.push({ latent: indices[k]!, value: values[k]! });
  return found.sort((a, b) => b.value - a.value || a.latent - b.latent);
}
