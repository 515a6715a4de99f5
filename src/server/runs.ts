/**
 * Folders given on the command line -> the runs that are served, by name.
 *
 * A folder is a run or an SAE itself, or holds some, at most two levels down (runs/, a grid, demo/saes/). They are looked up again at every
 * request: a run that has just begun is there. Names are looked up in this list alone and never become a path.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { modelArgument } from '../hub/index.ts';
import { readSaeConfig } from '../sae/load.ts';
import { WEIGHTS_FILE } from '../sae/save.ts';
import type { RunSummary } from '../shared/api.ts';
import { UsageError } from '../shared/errors.ts';
import type { ServeConfig } from '../shared/serve.ts';
import { readRun, readTablesManifest } from '../store/index.ts';
import { readEvaluation } from '../workflows/inspect.ts';
import { looksLikeSae } from '../workflows/inspect-sae.ts';
import { recordedTest } from '../workflows/recorded.ts';
import { indexedOnOf } from './features/tables.ts';

const DEPTH = 2;

const isRun = (folder: string): boolean => existsSync(join(folder, 'run.json')) || looksLikeSae(folder, true);

/** Also by a link. */
function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

function within(folder: string, depth: number): string[] {
  if (isRun(folder)) return [folder];
  if (depth === 0) return [];
  return readdirSync(folder)
    .filter((name) => !name.startsWith('.') && isFolder(join(folder, name)))
    .sort()
    .flatMap((name) => within(join(folder, name), depth - 1));
}

/** Name -> folder, in the order given; two of one name get their parent's before it. */
export function findRuns(folders: readonly string[]): ReadonlyMap<string, string> {
  const all = [
    ...new Set(
      folders.filter((folder) => existsSync(folder)).flatMap((folder) => within(resolve(folder), DEPTH)),
    ),
  ];
  const found = new Map<string, string>();
  const sharing = new Map<string, number>();
  for (const folder of all) sharing.set(basename(folder), (sharing.get(basename(folder)) ?? 0) + 1);
  for (const folder of all) {
    const short = basename(folder);
    let name = sharing.get(short)! > 1 ? `${basename(dirname(folder))}~${short}` : short;
    for (let n = 2; found.has(name); n++) name = `${basename(dirname(folder))}~${short}~${n}`;
    found.set(name, folder);
  }
  return found;
}

/** @throws UsageError for what is not there; a folder without runs may get some later */
export function checkFolders(folders: readonly string[]): void {
  for (const folder of folders)
    if (!existsSync(folder))
      throw new UsageError(`${folder}: no such folder. Give a run, an SAE, or a folder that holds some.`);
}

/** @throws UsageError for a `--model` that is neither on this machine nor a name of the hub; what is fetched is not looked for yet */
export async function checkModel(folders: readonly string[], { model }: ServeConfig): Promise<void> {
  if (model === undefined || model.startsWith('npm:')) return;
  const [first = '.'] = findRuns(folders).values();
  await modelArgument(locateModel(model, first)).catch((error: Error) => {
    throw new UsageError(`--model ${error.message}`);
  });
}

/** A model that a run names by a relative path is looked for from here, then from every folder above the run. */
export function locateModel(model: string, folder: string): string {
  if (isAbsolute(model) || existsSync(model)) return model;
  for (let above = resolve(folder); dirname(above) !== above; ) {
    above = dirname(above);
    if (existsSync(join(above, model))) return join(above, model);
  }
  return model;
}

/** As a person would type it where the server was started. */
function typed(folder: string): string {
  const path = relative(process.cwd(), folder);
  return path === '' ? '.' : path.startsWith('..') ? folder : path;
}

/** What is known of a run without its weights. */
export async function summarise(run: string, folder: string): Promise<Omit<RunSummary, 'live'>> {
  const base = {
    run,
    folder: typed(folder),
    kind: existsSync(join(folder, 'run.json')) ? 'run' : 'sae',
  } as const;
  try {
    const earlier = base.kind === 'run' ? await readRun(folder) : undefined;
    const finished = earlier === undefined || existsSync(join(folder, WEIGHTS_FILE));
    const config = finished ? await readSaeConfig(folder) : undefined;
    const { metadata } = config ?? {};
    const evaluation = await readEvaluation(folder);
    const measured = evaluation?.candidates[0];
    const control = evaluation?.candidates.find(({ kind }) => kind === 'control');
    // What is wrong with tables is said where they are read.
    const tables = await readTablesManifest(join(folder, 'features')).catch(() => undefined);
    const named = <N extends string>(name: N, value: number | null | undefined) =>
      typeof value === 'number' ? ({ [name]: value } as { [name in N]: number }) : {};
    const hook = metadata?.hook_name ?? earlier?.resolved.hook;
    const model = earlier?.config.model ?? metadata?.model_name;
    const latents = config?.F ?? earlier?.config.latents;
    const D = config?.D ?? earlier?.resolved.D;
    const l0 = measured?.latents?.l0.value ?? (config?.architecture === 'topk' ? config.K : undefined);
    return {
      ...base,
      ...(earlier ? { status: earlier.status, started: earlier.started, step: earlier.step } : {}),
      ...(earlier?.finished === undefined ? {} : { finished: earlier.finished }),
      ...(typeof model === 'string' ? { model } : {}),
      ...(typeof hook === 'string' ? { hook } : {}),
      ...(config ? { architecture: config.architecture } : {}),
      ...(typeof D === 'number' ? { D } : {}),
      ...(latents === undefined ? {} : { latents }),
      ...(l0 === undefined ? {} : { l0 }),
      ...named('fvu', measured?.fvu.value),
      ...(measured?.latents ? { dead: measured.latents.dead } : {}),
      ...named('deltaCe', measured?.deltaCe.value),
      ...(config ? { selfTest: await recordedTest(folder) } : {}),
      // Tables of directions say nothing of latents.
      ...(tables && !tables.names && { indexedOn: indexedOnOf(tables) }),
      ...(control && {
        control: {
          name: control.name,
          ...named('fvu', control.fvu.value),
          ...named('deltaCe', control.deltaCe.value),
        },
      }),
    };
  } catch (error) {
    return { ...base, problem: (error as Error).message };
  }
}
