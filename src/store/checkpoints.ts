/**
 * checkpoints/step-N/: state.safetensors (arrays) and state.json (everything else), written under another name and
 * renamed as one folder, so that step-N is there whole or not at all. The last two are kept.
 */
import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  DTYPE_BYTES,
  type Dtype,
  elementsOf,
  headSafetensors,
  readSafetensors,
  type TensorEntry,
} from '../formats/index.ts';
import { openFile } from '../platform/node.ts';
import { checkVersion, migrate, NewerFile, schemaVersionOf } from '../shared/migrate.ts';
import { type Disk, disk, explainFull, syncFolder, writeFlushed } from './atomic.ts';
import type { Checkpoint, CheckpointArray, StreamedArray } from './types.ts';

const KEEP = 2;
const ARRAYS = 'state.safetensors';
const JSON_FILE = 'state.json';

function dtypeOf(array: CheckpointArray | StreamedArray): Dtype {
  if ('pieces' in array) return array.type;
  if (array instanceof Float32Array) return 'F32';
  if (array instanceof Int32Array) return 'I32';
  if (array instanceof Float64Array) return 'F64';
  return array instanceof Uint32Array ? 'U32' : 'U8';
}

/** Steps that have a checkpoint in a `checkpoints` folder, ascending; none when there is no such folder. */
export async function listCheckpoints(folder: string): Promise<number[]> {
  const names = await readdir(folder).catch(() => []);
  return names
    .map((name) => /^step-(\d+)$/.exec(name)?.[1])
    .filter((digits) => digits !== undefined)
    .map(Number)
    .sort((a, b) => a - b);
}

/** Removes what a crash left half written or half removed. Only for the holder of the run folder's lock. */
export async function recoverCheckpoints(folder: string): Promise<void> {
  const names: string[] = await readdir(folder).catch(() => []);
  for (const name of names) {
    const replaced = /^\.tmp-old-(step-\d+)$/.exec(name)?.[1];
    // Between the two renames of a replacement the step is there only under this name.
    if (replaced && !names.includes(replaced)) await rename(join(folder, name), join(folder, replaced));
    else if (name.startsWith('.tmp-')) await rm(join(folder, name), { recursive: true, force: true });
  }
}

/** Renamed first: a checkpoint that is half removed must not be found. */
async function removeCheckpoint(folder: string, step: number): Promise<void> {
  const path = join(folder, `step-${step}`);
  const going = join(folder, `.tmp-gone-step-${step}`);
  // A full disk may have no room for the new name.
  const there = await rename(path, going).then(
    () => going,
    () => path,
  );
  await rm(there, { recursive: true, force: true });
}

/** Leaves the last two up to `step`. There are later ones when a run goes on from an earlier step. */
export async function trimCheckpoints(folder: string, step: number): Promise<void> {
  const steps = await listCheckpoints(folder);
  const kept = steps.filter((n) => n <= step).slice(-KEEP);
  for (const one of steps) if (!kept.includes(one)) await removeCheckpoint(folder, one);
}

/**
 * Writes a checkpoint and removes all but the last two.
 *
 * @throws StorageFull on a full disk, with the bytes needed and what stays usable
 */
export async function writeCheckpoint(
  folder: string,
  { step, arrays, json }: Checkpoint<CheckpointArray | StreamedArray>,
  on: Disk = disk,
): Promise<string> {
  const { header, ordered, byteLength } = headSafetensors(
    [...arrays].map(([name, array]) => ({ name, dtype: dtypeOf(array), shape: [array.length], array })),
  );
  async function* chunks(): AsyncGenerator<Uint8Array> {
    yield header;
    for (const { array } of ordered)
      for await (const piece of 'pieces' in array ? array.pieces() : [array])
        yield new Uint8Array(piece.buffer as ArrayBuffer, piece.byteOffset, piece.byteLength);
  }
  const text = new TextEncoder().encode(
    `${JSON.stringify({ schemaVersion: schemaVersionOf('checkpoint'), step, ...json }, null, 1)}\n`,
  );

  const final = join(folder, `step-${step}`);
  const temporary = join(folder, `.tmp-step-${step}`);
  const before = await listCheckpoints(folder);
  try {
    await rm(temporary, { recursive: true, force: true });
    await mkdir(temporary, { recursive: true });
    await writeFlushed(join(temporary, ARRAYS), chunks(), byteLength, on);
    await writeFlushed(join(temporary, JSON_FILE), [text], text.length, on);
    await syncFolder(temporary);
    if (before.includes(step)) {
      // A folder cannot replace one that is not empty: move the old one away first.
      await rename(final, join(folder, `.tmp-old-step-${step}`));
    }
    await on.rename(temporary, final);
    await recoverCheckpoints(folder);
  } catch (error) {
    await recoverCheckpoints(folder);
    const last = before.at(-1);
    const intact =
      last === undefined ? 'There is no earlier checkpoint.' : `The checkpoint of step ${last} is intact.`;
    const what = `the checkpoint of step ${step}`;
    throw await explainFull(error, { path: final, what, needed: byteLength + text.length, intact });
  }
  await syncFolder(folder);
  // The folder of the checkpoints is new.
  if (before.length === 0) await syncFolder(dirname(folder));
  await trimCheckpoints(folder, step);
  return final;
}

/** Bytes of one piece of an array that is read. */
const PIECE = 4 * 2 ** 20;

/** A tensor of a file; the file is open while it is read. */
function streamed(path: string, { dtype, start, end }: TensorEntry): StreamedArray {
  return {
    type: dtype as StreamedArray['type'],
    length: (end - start) / DTYPE_BYTES[dtype],
    async *pieces() {
      const source = await openFile(path);
      try {
        for (let at = start; at < end; at += PIECE)
          yield elementsOf(await source.slice(at, Math.min(end, at + PIECE)), dtype) as CheckpointArray;
      } finally {
        await source.close?.();
      }
    },
  };
}

/** A streamed array as a whole. */
export async function wholeArray(array: CheckpointArray | StreamedArray): Promise<CheckpointArray> {
  if (!('pieces' in array)) return array;
  let whole: CheckpointArray | undefined;
  let at = 0;
  for await (const piece of array.pieces()) {
    whole ??= new (piece.constructor as new (n: number) => CheckpointArray)(array.length);
    whole.set(piece, at);
    at += piece.length;
  }
  const empty = { F64: Float64Array, F32: Float32Array, I32: Int32Array, U32: Uint32Array, U8: Uint8Array };
  return whole ?? new empty[array.type](0);
}

/**
 * Opens a checkpoint, the last one unless `step` says otherwise. Its arrays are read from the file when they are asked for.
 *
 * @throws when there is none, it is damaged (says which others there are), or of a newer saekit
 */
export async function openCheckpoint(folder: string, step?: number): Promise<Checkpoint<StreamedArray>> {
  const steps = await listCheckpoints(folder);
  const wanted = step ?? steps.at(-1);
  if (wanted === undefined || !steps.includes(wanted)) {
    throw new Error(
      `${folder}: no checkpoint${wanted === undefined ? '' : ` of step ${wanted}`}. ${steps.length === 0 ? 'There is none to resume from; start the run again.' : `There are those of steps ${steps.join(', ')}.`}`,
    );
  }
  const path = join(folder, `step-${wanted}`);
  try {
    const stored = JSON.parse(await readFile(join(path, JSON_FILE), 'utf8'));
    checkVersion(stored, schemaVersionOf('checkpoint'), join(path, JSON_FILE));
    if (stored.step !== wanted) throw new Error(`${JSON_FILE} is of step ${stored.step}`);
    const source = await openFile(join(path, ARRAYS));
    try {
      const file = await readSafetensors(source, join(path, ARRAYS));
      const arrays = new Map(
        [...file.tensors].map(([name, entry]) => [name, streamed(join(path, ARRAYS), entry)]),
      );
      const today = migrate('checkpoint', { ...stored, arrays }, join(path, JSON_FILE)) as Checkpoint['json'];
      const { schemaVersion: _, step: __, arrays: all, ...json } = today;
      return { step: wanted, arrays: all as typeof arrays, json };
    } finally {
      await source.close?.();
    }
  } catch (error) {
    if (error instanceof NewerFile) throw error;
    const others = steps.filter((n) => n !== wanted);
    throw new Error(
      `${path}: damaged checkpoint (${(error as Error).message}). ${others.length > 0 ? `Remove the folder to resume from step ${others.at(-1)}.` : 'There is no other; start the run again.'}`,
      { cause: error },
    );
  }
}
