/**
 * A run folder, locked while it is written:
 *
 *     cfg.json  sae_weights.safetensors   the SAE in SAELens's format
 *     run.json                            config, seeds, provenance, status, final metrics
 *     metrics.jsonl                       one line per logging step
 *     checkpoints/step-N/                 complete state, the last two
 *     .lock                               while a process writes
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { migrate } from '../shared/migrate.ts';
import { type MetricsLine, type Run, runSchema } from '../shared/run.ts';
import { type Disk, disk, folderWriter, isTemporary, removeTemporaries, writeJson } from './atomic.ts';
import {
  listCheckpoints,
  openCheckpoint,
  recoverCheckpoints,
  trimCheckpoints,
  wholeArray,
  writeCheckpoint,
} from './checkpoints.ts';
import { isLockFile, lockFolder } from './lock.ts';
import { makeFolder } from './make-folder.ts';
import { METRICS_FILE, openMetricsLog, readMetrics, truncateMetrics } from './metrics.ts';
import type { Checkpoint, CheckpointArray, FolderWriter, StreamedArray } from './types.ts';

const RUN_FILE = 'run.json';
const CHECKPOINTS = 'checkpoints';

/** A run folder held for writing. Close it, also after an error. */
export type RunFolder = {
  readonly path: string;
  /** For the SAE, eval.json and other files: each is written whole or not at all. */
  readonly writer: FolderWriter;
  writeRun(run: Run): Promise<void>;
  appendMetrics(line: MetricsLine): Promise<void>;
  /** Writes checkpoints/step-N and keeps the last two. */
  saveCheckpoint(checkpoint: Checkpoint<CheckpointArray | StreamedArray>): Promise<void>;
  close(): Promise<void>;
};

async function lockAndOpen(path: string, on: Disk, prepare: () => Promise<void>): Promise<RunFolder> {
  const unlock = await lockFolder(path);
  try {
    await prepare();
    for (const one of [path, join(path, 'features')]) await removeTemporaries(one);
    const metrics = openMetricsLog(join(path, METRICS_FILE), on);
    let closed = false;
    return {
      path,
      writer: folderWriter(path, on),
      writeRun: (run) => writeJson(join(path, RUN_FILE), runSchema.parse(run), RUN_FILE, on),
      appendMetrics: (line) => metrics.append(line),
      async saveCheckpoint(checkpoint) {
        // After a power cut the lines before a checkpoint are there when it is.
        await metrics.sync();
        await writeCheckpoint(join(path, CHECKPOINTS), checkpoint, on);
      },
      async close() {
        if (closed) return;
        closed = true;
        await metrics.close().finally(unlock);
      },
    };
  } catch (error) {
    await unlock();
    throw error;
  }
}

/**
 * Makes a new run folder and locks it.
 *
 * @throws when the folder already holds a run or other files, or another process writes it
 */
export async function createRunFolder(path: string, { on = disk }: { on?: Disk } = {}): Promise<RunFolder> {
  await makeFolder(path);
  return await lockAndOpen(path, on, async () => {
    // A process that was killed before it had written run.json leaves these and nothing else.
    const names = (await readdir(path)).filter((name) => !isLockFile(name) && !isTemporary(name));
    if (names.includes(RUN_FILE)) {
      const state = await readRun(path).then(
        ({ status, started, step }) => `${status} at step ${step}, started ${started}`,
        () => 'unreadable',
      );
      throw new Error(
        `${path} already holds a run (${state}). Choose another folder with --out, or continue it with --resume.`,
      );
    }
    if (names.length > 0) {
      throw new Error(
        `${path} is not empty (${names.slice(0, 4).join(', ')}) and holds no run. Choose another folder with --out.`,
      );
    }
  });
}

/**
 * Locks an existing run folder and reads its last checkpoint, or that of `step`; metrics and checkpoints after that step are dropped,
 * because the continued run writes them again. A run that was killed before its first checkpoint has none, and begins again.
 *
 * @throws when there is no run, or not that checkpoint, or another process writes the folder
 */
export async function resumeRunFolder(
  path: string,
  { step, on = disk }: { step?: number | undefined; on?: Disk } = {},
): Promise<{ folder: RunFolder; run: Run; checkpoint: Checkpoint<StreamedArray> | undefined }> {
  // Read before the lock is taken: a wrong path must not become a folder.
  let run = await readRun(path);
  let checkpoint: Checkpoint<StreamedArray> | undefined;
  const folder = await lockAndOpen(path, on, async () => {
    run = await readRun(path);
    const checkpoints = join(path, CHECKPOINTS);
    await recoverCheckpoints(checkpoints);
    if (step !== 0 && (step !== undefined || (await listCheckpoints(checkpoints)).length > 0))
      checkpoint = await openCheckpoint(checkpoints, step);
    if (run.status === 'finished') return;
    await trimCheckpoints(checkpoints, checkpoint?.step ?? 0);
    await truncateMetrics(join(path, METRICS_FILE), checkpoint?.step ?? 0);
  });
  return { folder, run, checkpoint };
}

/** run.json of a run folder. Throws when it is missing, of a newer schema, or not valid (naming the field). */
export async function readRun(path: string): Promise<Run> {
  const file = join(path, RUN_FILE);
  const text = await readFile(file, 'utf8').catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') throw error;
    const names = await readdir(path).catch(() => undefined);
    throw new Error(
      `${path} is no run folder: ${names ? `no ${RUN_FILE} (it holds ${names.slice(0, 5).join(', ') || 'nothing'})` : 'no such folder'}.`,
    );
  });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`${file}: not JSON (${(error as Error).message})`);
  }
  const result = runSchema.safeParse(migrate('run', value, file));
  if (!result.success) {
    const [issue] = result.error.issues;
    throw new Error(`${file}: ${issue?.path.join('.') || 'the whole'}: ${issue?.message}`);
  }
  return result.data;
}

/** What metrics.jsonl of a run folder holds, oldest first. */
export const readRunMetrics = (path: string): Promise<MetricsLine[]> => readMetrics(join(path, METRICS_FILE));
/** Steps with a checkpoint, ascending. */
export const runCheckpoints = (path: string): Promise<number[]> => listCheckpoints(join(path, CHECKPOINTS));
/** A checkpoint of a run folder with its arrays in memory, the last one unless `step` is given. */
export async function readRunCheckpoint(path: string, step?: number): Promise<Checkpoint> {
  const { arrays, ...rest } = await openCheckpoint(join(path, CHECKPOINTS), step);
  const whole = new Map<string, CheckpointArray>();
  for (const [name, array] of arrays) whole.set(name, await wholeArray(array));
  return { ...rest, arrays: whole };
}
