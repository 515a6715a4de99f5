/**
 * Whether there is an SAE in a folder of training runs, in the same words for every command:
 *
 *     grid.json                       the runs of a grid           name one of them
 *     run.json and a living lock      being written                wait
 *     run.json, not finished          stopped at a step            go on with --resume
 *     cfg.json, weights not there     lost                         copy them, or train again
 *
 * Of a folder that is none of these nothing is said: what it is the formats of SAEs know.
 */
import { readdir } from 'node:fs/promises';
import { CFG_FILE, WEIGHTS_FILE } from '../sae/save.ts';
import type { Run } from '../shared/run.ts';
import { shellWord } from '../shared/shell-word.ts';
import { lockOwner, readRun, runCheckpoints } from '../store/index.ts';

/** What an SAE of ours consists of. */
export const OWN_SAE_FILES = [CFG_FILE, WEIGHTS_FILE] as const;

/** @throws when there is none; with `finished` also when the run is not over, though the SAE may be there */
export async function requireSae(
  folder: string,
  { finished = false }: { readonly finished?: boolean } = {},
): Promise<void> {
  const names = await readdir(folder).catch((): string[] => []);
  const has = (name: string): boolean => names.includes(name);
  if (!has('run.json') && !has('cfg.json') && has('grid.json')) {
    const members = names.filter((name) => name !== 'grid.json' && !name.startsWith('.')).sort();
    const some = members.slice(0, 3).join(', ');
    throw new Error(
      `${folder} holds the runs of a grid: ${some}${members.length > 3 ? ', …' : ''}. Name one of them.`,
    );
  }
  if (!has('run.json')) return;
  const missing = OWN_SAE_FILES.find((name) => !has(name));
  if (missing === undefined && !finished) return;
  const run = await readRun(folder);
  const writer = await lockOwner(folder);
  if (writer)
    throw new Error(`${folder} is being written by process ${writer.pid}. Wait until it has finished.`);
  if (run.status !== 'finished')
    throw new Error(
      `${folder} is not finished: ${await stateOf(folder, run)}. Finish it first: saekit train --resume ${shellWord(folder)}`,
    );
  if (missing !== undefined)
    throw new Error(
      `${folder} is a finished run without its ${missing}, so there is no SAE in it. Copy the folder whole, or train again.`,
    );
}

async function stateOf(folder: string, { status, step, resolved }: Run): Promise<string> {
  const of = resolved.totalSteps ?? '?';
  if (status !== 'running') return `${status} at step ${step} of ${of}`;
  // A process that died has not written how far it came.
  const last = (await runCheckpoints(folder).catch(() => [])).at(-1) ?? 0;
  return `stopped without saying so, its last checkpoint at step ${last} of ${of}`;
}
