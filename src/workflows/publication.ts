/** A run or SAE folder -> what of it may be published: the files, without local paths, and what a card says about them. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import type { PushFile } from '../hub/index.ts';
import { readSaeConfig, type SaeConfig } from '../sae/index.ts';
import { WEIGHTS_FILE } from '../sae/save.ts';
import type { EvalResult } from '../shared/eval.ts';
import type { FeatureCards } from '../shared/feature.ts';
import type { Run } from '../shared/run.ts';
import { readRun } from '../store/index.ts';
import { jsonFile } from './arrays.ts';
import { readResults } from './inspect.ts';
import { elsewhere, trainedAt } from './own-place.ts';
import { createPublic } from './public-names.ts';
import { OWN_SAE_FILES, requireSae } from './run-state.ts';

const FEATURES = 'features/cards.json';
/** In the order in which they are shown. */
export const PUBLISHED = [
  'cfg.json',
  WEIGHTS_FILE,
  'run.json',
  'eval.json',
  FEATURES,
  'metrics.jsonl',
] as const;
/** Part of the JSON files that can hold names of models and data. */
const NAMES: Readonly<Record<string, readonly string[]>> = {
  'cfg.json': ['metadata'],
  'run.json': ['config', 'resolved', 'provenance'],
  // Rows that do not say their hook give it their own name, a path.
  'eval.json': ['model', 'hook'],
};

export type Publication = {
  readonly sae: SaeConfig;
  readonly run: Run | undefined;
  readonly evaluation: EvalResult | undefined;
  readonly cards: FeatureCards | undefined;
  readonly files: readonly PushFile[];
  /** Files and folders of the folder that are not published; folders end with a slash. */
  readonly leftOut: readonly string[];
};

/**
 * Reads a folder for publishing.
 *
 * @param options.features whether feature cards, which quote the held-out text, are published
 * @throws when it is neither a run nor an SAE, the run is not finished or is being written, or a file of it is damaged
 */
export async function readPublication(
  folder: string,
  { features }: { readonly features: boolean },
): Promise<Publication> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'ENOENT'
      ? new Error(`${folder}: no such folder. Name a run, such as runs/first.`)
      : error;
  });
  const has = (name: string): boolean => names.includes(name);
  await requireSae(folder, { finished: true });
  if (!has('run.json') && !has('cfg.json'))
    throw new Error(
      `${folder} is no run and no SAE: it holds ${names.slice(0, 5).join(', ') || 'nothing'}. Expected run.json, or cfg.json and ${WEIGHTS_FILE}.`,
    );
  const run = has('run.json') ? await readRun(folder) : undefined;
  for (const name of OWN_SAE_FILES)
    if (!has(name))
      throw new Error(`${folder} has no ${name}, so there is no SAE to publish. Is the folder a whole copy?`);
  const sae = await readSaeConfig(folder);
  const { evaluation, cards } = await readResults(folder);
  requireOwn(folder, sae, run, evaluation);
  const toPublic = createPublic(run);

  const files: PushFile[] = [];
  for (const path of PUBLISHED) {
    const file = join(folder, path);
    const info = await stat(file).catch(() => undefined);
    if (!info?.isFile() || (path === FEATURES && !features)) continue;
    files.push(
      path === WEIGHTS_FILE
        ? { path, bytes: info.size, content: { file } }
        : await publicFile(path, new Uint8Array(await readFile(file)), toPublic),
    );
  }
  return {
    sae: toPublic(sae),
    run: run && {
      ...run,
      ...toPublic({ config: run.config, resolved: run.resolved, provenance: run.provenance }),
    },
    evaluation: evaluation && {
      ...evaluation,
      ...toPublic({ model: evaluation.model, hook: evaluation.hook }),
    },
    cards: features ? cards : undefined,
    files,
    leftOut: await othersIn(folder, new Set(files.map(({ path }) => path))),
  };
}

/** @throws when eval.json is of another hook; of another model it is published, and the card says so */
function requireOwn(
  folder: string,
  sae: SaeConfig,
  run: Run | undefined,
  evaluation: EvalResult | undefined,
): void {
  if (!evaluation) return;
  const { hook, outputHook } = evaluation;
  const other = elsewhere(trainedAt(sae, run), { hook, outputHook, modelHash: undefined });
  if (other !== undefined)
    throw new Error(
      `${folder}/eval.json is not of the place that the SAE reads: ${other}. Measure it anew with saekit eval, or take eval.json away.`,
    );
}

/** The very bytes of the file, unless they name a local path. */
async function publicFile(
  path: string,
  content: Uint8Array<ArrayBuffer>,
  toPublic: <T>(value: T) => T,
): Promise<PushFile> {
  const keys = NAMES[path];
  if (!keys) return { path, bytes: content.length, content };
  const value = JSON.parse(new TextDecoder().decode(content)) as Record<string, unknown>;
  const changed = { ...value };
  for (const key of keys) if (key in value) changed[key] = toPublic(value[key]);
  if (JSON.stringify(changed) === JSON.stringify(value)) return { path, bytes: content.length, content };
  const [[bytes], length] = jsonFile(changed);
  return { path, bytes: length, content: new Uint8Array(bytes!) };
}

/** What else lies in the folder; a folder of which nothing is published stands for all that is in it. */
async function othersIn(folder: string, published: ReadonlySet<string>): Promise<string[]> {
  const found: string[] = [];
  const visit = async (at: string): Promise<void> => {
    for (const entry of await readdir(at, { withFileTypes: true })) {
      const path = relative(folder, join(at, entry.name)).split(sep).join('/');
      if (!entry.isDirectory()) {
        if (!published.has(path)) found.push(path);
      } else if ([...published].some((file) => file.startsWith(`${path}/`)))
        await visit(join(at, entry.name));
      else found.push(`${path}/`);
    }
  };
  await visit(folder);
  return found.sort();
}
