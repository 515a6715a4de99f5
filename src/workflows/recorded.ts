/** The L0 and FVU that `saekit eval` left beside an SAE. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RecordedNumbers } from '../sae/index.ts';
import { evalResultSchema } from '../shared/eval.ts';

/** Undefined when there is no eval.json that can be read. */
export async function recordedNumbers(folder: string): Promise<RecordedNumbers | undefined> {
  const text = await readFile(join(folder, 'eval.json'), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const found = evalResultSchema.safeParse(JSON.parse(text));
  const sae = found.success ? found.data.candidates.find(({ kind }) => kind === 'sae') : undefined;
  if (!sae) return undefined;
  const numberOf = (value: unknown): number | undefined => (typeof value === 'number' ? value : undefined);
  const [l0, fvu] = [numberOf(sae.latents?.l0.value), numberOf(sae.fvu.value)];
  return { ...(l0 === undefined ? {} : { l0 }), ...(fvu === undefined ? {} : { fvu }) };
}
