/**
 * One writer per run folder. The lock is a file with the writer's pid, host and start; a lock whose process no longer lives is
 * taken over. It appears whole, by a hard link, so nobody meets one that is half written.
 */
import { createHash } from 'node:crypto';
import { readFileSync, unlinkSync } from 'node:fs';
import { link, mkdir, readdir, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { explainFull } from './atomic.ts';
import {
  describeMe,
  isElsewhere,
  isHeld,
  type LockOwner,
  readOwner,
  SILENT_MS,
  silence,
} from './lock-owner.ts';

const LOCK_FILE = '.lock';
const TOUCH_MS = 10_000;

/** Who holds the lock of a folder: undefined when nobody does or its process has died. */
export async function lockOwner(folder: string): Promise<LockOwner | undefined> {
  const path = join(folder, LOCK_FILE);
  const owner = await readOwner(path);
  return owner && (await isHeld(owner, path)) ? owner : undefined;
}

let files = 0;

/** Writes the owner under a name of its own and calls `use` with it. */
async function withOwnFile<T>(path: string, me: LockOwner, use: (own: string) => Promise<T>): Promise<T> {
  const text = JSON.stringify(me);
  const own = `${path}.${process.pid}-${files++}`;
  try {
    await writeFile(own, text);
    return await use(own);
  } catch (error) {
    throw await explainFull(error, {
      path,
      what: 'the lock',
      needed: text.length,
      intact: 'Nothing was changed.',
    });
  } finally {
    await rm(own, { force: true });
  }
}

/** Puts the lock there unless one is; whether it did. */
async function place(path: string, me: LockOwner): Promise<boolean> {
  const unless = async (made: Promise<void>): Promise<boolean> =>
    await made.then(
      () => true,
      (error: NodeJS.ErrnoException) => {
        if (error.code === 'EEXIST') return false;
        throw error;
      },
    );
  return await withOwnFile(path, me, async (own) => {
    // FAT and some network drives have no hard links.
    const plainly = (): Promise<void> => writeFile(path, JSON.stringify(me), { flag: 'wx' });
    return await unless(link(own, path)).catch(() => unless(plainly()));
  });
}

/** Takes the lock; undefined when that worked, else who has it. */
async function acquire(path: string, me: LockOwner): Promise<LockOwner | undefined> {
  let owner: LockOwner | undefined;
  for (let attempt = 0; attempt < 5; attempt++) {
    if (await place(path, me)) return undefined;
    owner = await readOwner(path);
    if (owner && (await isHeld(owner, path))) return owner;
    if (owner?.pid === 0) {
      // Without hard links it may be a writer in the middle of it: wait, then treat it as left behind.
      await sleep(50);
      if ((await readOwner(path))?.pid !== 0) continue;
    }
    if (owner && (await takeOver(path, owner, me))) return undefined;
    await sleep(20);
  }
  return owner ?? { pid: 0, host: '', since: '' };
}

/**
 * Replaces the lock of a dead owner. Only who holds the claim on that owner's lock may: the claim is a lock itself, and who was
 * killed while holding one is succeeded in the same way. False when somebody else was faster.
 */
async function takeOver(path: string, stale: LockOwner, me: LockOwner): Promise<boolean> {
  const text = JSON.stringify(stale);
  const claim = `${path}.${createHash('sha256').update(text).digest('hex').slice(0, 12)}`;
  if (await acquire(claim, me)) return false;
  try {
    if (JSON.stringify(await readOwner(path)) !== text) return false;
    await withOwnFile(path, me, (own) => rename(own, path));
    return true;
  } finally {
    await rm(claim, { force: true });
  }
}

/** Whether a file belongs to the locking of its folder. */
export const isLockFile = (name: string): boolean => name === LOCK_FILE || name.startsWith(`${LOCK_FILE}.`);

/** Removes what processes left that died while they took a lock. */
async function removeLitter(folder: string): Promise<void> {
  for (const name of (await readdir(folder)).filter((name) => isLockFile(name) && name !== LOCK_FILE)) {
    const file = join(folder, name);
    const owner = await readOwner(file);
    if (owner && !(await isHeld(owner, file))) await rm(file, { force: true });
  }
}

/**
 * Locks a folder for writing. Give the lock back with the function returned; the end of the process does, too.
 *
 * @throws when another living process holds it, or a process on another host does (whose life cannot be checked)
 */
export async function lockFolder(folder: string): Promise<() => Promise<void>> {
  const path = join(folder, LOCK_FILE);
  const me = await describeMe();
  const owner = await acquire(path, me);
  if (owner) throw await heldBy(owner, folder, path);
  await removeLitter(folder);
  return hold(path, JSON.stringify(me));
}

/** How long a change of one small file is waited for. */
const PATIENCE_MS = 10_000;

/**
 * Runs `work`, which reads and writes one file, while nobody else does who asks here: FILE.lock is there for as long.
 *
 * @throws when another living process holds it for longer than a change takes
 */
export async function whileLocked<T>(file: string, work: () => Promise<T>): Promise<T> {
  const path = `${file}.lock`;
  await mkdir(dirname(path), { recursive: true });
  const me = await describeMe();
  const last = Date.now() + PATIENCE_MS;
  for (;;) {
    const owner = await acquire(path, me);
    if (!owner) break;
    if (Date.now() > last) throw await heldBy(owner, file, path);
    await sleep(10 + 20 * Math.random());
  }
  const release = hold(path, JSON.stringify(me));
  try {
    return await work();
  } finally {
    await release();
  }
}

async function heldBy(owner: LockOwner, what: string, path: string): Promise<Error> {
  const { pid, host, since } = owner;
  const held = `${what} is being written by`;
  if (pid === 0 || (host === hostname() && !(await isHeld(owner, path))))
    return new Error(`${path}: could not be taken; several processes are trying. Run again.`);
  if (host !== hostname())
    return new Error(
      `${held} process ${pid} on ${host} since ${since}; its last sign of life was ${ago(await silence(path))} ago. If that process is gone, remove ${path} and run again.`,
    );
  if (await isElsewhere(owner))
    return new Error(
      `${held} process ${pid} on another container or machine called ${host} since ${since}. Wait for it, or stop it and run again after ${SILENT_MS / 1000} s.`,
    );
  const who = pid === process.pid ? 'this process already' : `process ${pid}`;
  return new Error(`${held} ${who} since ${since}. Wait for it, stop it, or choose another folder.`);
}

const ago = (ms: number): string =>
  ms < 120_000 ? `${Math.round(Math.max(0, ms) / 1000)} s` : `${Math.round(ms / 60_000)} min`;

/** Touches the lock now and then until it is given back. */
function hold(path: string, mine: string): () => Promise<void> {
  const touching = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => {});
  }, TOUCH_MS).unref();
  const release = (): void => {
    clearInterval(touching);
    try {
      // A process that slept for long may have lost it to another.
      if (readFileSync(path, 'utf8') === mine) unlinkSync(path);
    } catch {
      // Already gone.
    }
  };
  process.once('exit', release);
  return async () => {
    process.off('exit', release);
    release();
  };
}
