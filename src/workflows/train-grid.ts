/**
 * Several SAEs on the same rows: one pass of the model, one run folder each.
 *
 *     OUT/grid.json                      what varies
 *     OUT/latents-2048_seed-0/           a run folder, as a single run of that config makes it, bit for bit
 *     OUT/latents-2048_seed-1/           …
 *
 * All members stand at the same step, so that a resume needs one place in the data: the last step that all of them have a checkpoint of. A
 * member whose loss diverged is left behind; `--resume` of its own folder goes on with it alone.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Sae } from '../sae/index.ts';
import type { TrainConfig } from '../shared/config.ts';
import { UsageError } from '../shared/errors.ts';
import { expandGrid, type Grid, type GridFile, gridFileSchema } from '../shared/grid.ts';
import { migrate, schemaVersionOf } from '../shared/migrate.ts';
import type { Run } from '../shared/run.ts';
import {
  type Checkpoint,
  checkLogUrl,
  createRunFolder,
  folderWriter,
  isTemporary,
  makeFolder,
  type RunFolder,
  readRun,
  resumeRunFolder,
  runCheckpoints,
  type StreamedArray,
} from '../store/index.ts';
import { jsonFile } from './arrays.ts';
import { pinned } from './hub.ts';
import { requirePlanMemory } from './model-memory.ts';
import { type Own, withResources } from './resources.ts';
import { openStart } from './start.ts';
import { withStoredLength } from './streams.ts';
import {
  checkModel,
  finishMember,
  openSource,
  type ResumeOptions,
  saveMember,
  type TrainOptions,
  type TrainResult,
} from './train-sae.ts';
import { trainMembers } from './training/loop.ts';
import { type Member, openMember } from './training/member.ts';
import type { Source } from './training/source.ts';
import type { TrainPlan, TrainProgress } from './types.ts';

export const GRID_FILE = 'grid.json';

/** As of one run; `folder` is the folder of all. */
export type GridOptions = Omit<TrainOptions, 'onPlan' | 'onProgress' | 'onSnippets' | 'onEvaluate'> & {
  /** Before anything large is allocated: the plan of every member. */
  readonly onPlans?: (plans: readonly TrainPlan[]) => void;
  /** After every batch, of the members that are still training. */
  readonly onProgress?: (progress: readonly TrainProgress[]) => void;
  readonly onEvaluate?: (member: number, done: number, total: number) => void;
};

export type GridResult = {
  readonly folder: string;
  readonly status: 'finished' | 'interrupted';
  /** Up to the end of training, evaluations not included. */
  readonly seconds: number;
  /** Of the members that were trained now, in the order of grid.json. */
  readonly members: readonly TrainResult[];
  /** Members that stopped because their loss was not finite. */
  readonly failed: readonly { readonly folder: string; readonly message: string }[];
};

type Opened = { readonly plan: TrainPlan; readonly folder: RunFolder; readonly started: string } & (
  | { readonly checkpoint: undefined }
  | { readonly checkpoint: Checkpoint<StreamedArray>; readonly run: Run }
);

/**
 * Trains one SAE per combination.
 *
 * @throws UsageError when configs cannot go together or the folder is in use; else as `trainSae`
 * @example
 * await trainGrid(config, { latents: [2048, 4096], seed: [0, 1, 2] }, { folder: 'runs/grid' });
 */
export async function trainGrid(config: TrainConfig, grid: Grid, options: GridOptions): Promise<GridResult> {
  const { folder, logTo } = options;
  if (logTo) checkLogUrl(logTo.url);
  const members = expandGrid(await withStoredLength(config), grid);
  if (config.activations !== undefined && (grid.hook?.length ?? 0) > 1)
    throw new UsageError('Stored activations are of one hook; a grid over hooks needs --model and --data.');
  return await withResources(async (own) => {
    const unread = await openSource(config, options, own);
    const plans = members.map((member) =>
      unread.plan(member.config, { folder: join(folder, member.folder) }),
    );
    options.onPlans?.(plans);
    for (const plan of plans) requirePlanMemory(plan);
    for (const plan of plans) await openStart(plan);
    const source = await unread.read();
    await makeFolder(folder);
    // What a kill left of grid.json.
    const names = (await readdir(folder)).filter((name) => !name.startsWith('.') && !isTemporary(name));
    if (names.length > 0)
      throw new UsageError(
        `${folder} is not empty (${names.slice(0, 4).join(', ')}). Choose another folder with --out, or continue a grid with --resume.`,
      );
    const started = new Date().toISOString();
    const file: GridFile = { schemaVersion: schemaVersionOf('grid'), started, grid, members };
    await folderWriter(folder).write(GRID_FILE, ...jsonFile(gridFileSchema.parse(file)));
    const opened: Opened[] = [];
    for (const plan of plans)
      opened.push({
        plan,
        folder: own(await createRunFolder(plan.folder)),
        started,
        checkpoint: undefined,
      });
    return await train(source, opened, options, own);
  });
}

/** Continues the members of a grid that are not finished, with the bits of a grid that was never interrupted. */
export async function resumeGrid(options: GridOptions & Pick<ResumeOptions, 'workers'>): Promise<GridResult> {
  const { folder, logTo, workers } = options;
  if (logTo) checkLogUrl(logTo.url);
  const { members, started } = await readGrid(folder);
  const changed = workers === undefined ? {} : { workers };
  const left = await unfinished(
    folder,
    members.map((member) => ({ ...member, config: { ...member.config, ...changed } })),
  );
  if (left.members.length === 0)
    throw new UsageError(
      `All ${members.length} SAEs of ${folder} are finished; there is nothing to continue.`,
    );
  return await withResources(async (own) => {
    const [first] = left.members as [(typeof left.members)[0]];
    const sources = first.run ? pinned(first.config, first.run.provenance) : first.config;
    const unread = await openSource(sources, options, own);
    if (first.run) checkModel(unread, first.config, first.run.provenance.model?.hash);
    const plans = left.members.map(({ config, path }) => unread.plan(config, { folder: path }));
    options.onPlans?.(plans);
    for (const plan of plans) requirePlanMemory(plan);
    const source = await unread.read();
    const opened: Opened[] = [];
    for (const [i, plan] of plans.entries()) {
      if (left.members[i]!.run === undefined) {
        opened.push({
          plan,
          folder: own(await createRunFolder(plan.folder)),
          started,
          checkpoint: undefined,
        });
        continue;
      }
      const { folder: at, run, checkpoint } = await resumeRunFolder(plan.folder, { step: left.step });
      own(at);
      opened.push(
        checkpoint
          ? { plan, folder: at, started: run.started, checkpoint, run }
          : { plan, folder: at, started: run.started, checkpoint },
      );
    }
    return await train(source, opened, options, own);
  });
}

async function train(
  source: Source,
  opened: readonly Opened[],
  options: GridOptions,
  own: Own,
): Promise<GridResult> {
  const begun = performance.now();
  const members: Member[] = [];
  for (const parts of opened) {
    const start = parts.checkpoint
      ? { initialSae: parts.run.provenance.initialSae }
      : await openStart(parts.plan);
    members.push(await openMember({ ...parts, source, start, logTo: options.logTo }, own));
  }
  const loop = await trainMembers(source, members, options);
  const trained = members.filter((member) => !loop.diverged.has(member));
  // All of them are saved before the first evaluation, which takes a while.
  const saes: Sae[] = [];
  if (loop.status === 'finished') for (const member of trained) saes.push(await saveMember(member));
  const seconds = (performance.now() - begun) / 1000;
  const { signal, onEvaluate } = options;
  const results: TrainResult[] = [];
  for (const [i, member] of trained.entries()) {
    const measuring = onEvaluate && {
      onEvaluate: (done: number, total: number) => onEvaluate(i, done, total),
    };
    results.push(await finishMember(source, member, loop, { sae: saes[i], signal, seconds, ...measuring }));
  }
  return {
    folder: options.folder,
    status: loop.status,
    seconds,
    members: results,
    failed: [...loop.diverged].map(([member, { message }]) => ({ folder: member.folder.path, message })),
  };
}

/** grid.json of a folder. @throws when there is none, or it is not valid */
export async function readGrid(folder: string): Promise<GridFile> {
  const path = join(folder, GRID_FILE);
  const parsed = gridFileSchema.safeParse(migrate('grid', JSON.parse(await readFile(path, 'utf8')), path));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new Error(`${path}: ${issue?.path.join('.') || 'the whole'}: ${issue?.message}`);
}

/** The members that are to be continued together, and the last step that all of them have a checkpoint of, 0 for none. */
async function unfinished(folder: string, members: GridFile['members']) {
  const all = await Promise.all(
    members.map(async ({ folder: name, config }) => {
      const path = join(folder, name);
      const run = await readRun(path).catch(() => undefined);
      return { path, config, run, steps: await runCheckpoints(path) };
    }),
  );
  const open = all.filter(({ run }) => run?.status !== 'finished');
  // One that diverged stands at a step of its own.
  const going = open.filter(({ run }) => run?.status !== 'failed');
  const chosen = going.length > 0 ? going : open;
  const common = (chosen[0]?.steps ?? []).filter((step) => chosen.every(({ steps }) => steps.includes(step)));
  return { members: chosen, step: common.at(-1) ?? 0 };
}
