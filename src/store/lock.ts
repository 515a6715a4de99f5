/**
 * One writer per run folder. The lock is a file with the writer's pid, host and start time; a lock whose process no
 * longer lives is taken over. Start times matter: in containers small pids come again at once.
 */
import { unlinkSync } from 'node:fs';
import { link, open, readFile, rename, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';

export const LOCK_FILE = '.lock';

/** `ticks` is the process's start in clock ticks since boot, where the system tells (Linux). */
export type LockOwner = {
  readonly pid: number;
  readonly host: string;
  readonly since: string;
  readonly ticks: string | undefined;
};

async function startTicks(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  // The second field is the name in brackets and may hold spaces; the start time is the 22nd field.
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
}

async function isAlive({ pid, ticks }: LockOwner): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  const now = await startTicks(pid);
  return now === undefined || ticks === undefined || now === ticks;
}

/** Who holds the lock of a folder: undefined when nobody does or its process has died. */
export async function lockOwner(folder: string): Promise<LockOwner | undefined> {
  const owner = await readOwner(join(folder, LOCK_FILE));
  if (!owner) return undefined;
  return owner.host !== hostname() || (await isAlive(owner)) ? owner : undefined;
}

async function readOwner(path: string): Promise<LockOwner | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    const { pid, host, since, ticks } = JSON.parse(text) as LockOwner;
    if (Number.isInteger(pid) && typeof host === 'string') return { pid, host, since, ticks };
  } catch {
    // Cut off while being written: by a process that died, or one that is writing it now.
  }
  return { pid: 0, host: '', since: '', ticks: undefined };
}

/** Removes a lock that its dead owner left, unless somebody else just did and took it. */
async function removeStale(path: string, stale: LockOwner): Promise<void> {
  const aside = `${path}.stale-${process.pid}`;
  await rename(path, aside).catch(() => {});
  const moved = await readOwner(aside);
  // Between reading and renaming another process may have taken the lock: give it back.
  if (moved && JSON.stringify(moved) !== JSON.stringify(stale)) await link(aside, path).catch(() => {});
  await rm(aside, { force: true });
}

/**
 * Locks a folder for writing. Give the lock back with the function returned; the end of the process does, too.
 *
 * @throws when another living process holds it, or a process on another host does (whose life cannot be checked)
 */
export async function lockFolder(folder: string): Promise<() => Promise<void>> {
  const path = join(folder, LOCK_FILE);
  const me: LockOwner = {
    pid: process.pid,
    host: hostname(),
    since: new Date().toISOString(),
    ticks: await startTicks(process.pid),
  };
  for (let attempt = 0; attempt < 5; attempt++) {
    const handle = await open(path, 'wx').catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
      return undefined;
    });
    if (handle) {
      await handle.writeFile(JSON.stringify(me)).finally(() => handle.close());
      const atExit = (): void => {
        try {
          unlinkSync(path);
        } catch {
          // Already gone.
        }
      };
      process.once('exit', atExit);
      return async () => {
        process.off('exit', atExit);
        await rm(path, { force: true });
      };
    }
    const owner = await readOwner(path);
    if (!owner) continue;
    if (owner.pid === 0) {
      // Unreadable: wait for a writer in the middle of it, then treat it as left behind.
      await new Promise((resolve) => setTimeout(resolve, 50));
      const again = await readOwner(path);
      if (again?.pid === 0) await removeStale(path, again);
      continue;
    }
    if (owner.host !== me.host) {
      throw new Error(
        `${folder} is being written by process ${owner.pid} on ${owner.host} since ${owner.since}. If that process is gone, remove ${path} and run again.`,
      );
    }
    if (await isAlive(owner)) {
      const who = owner.pid === process.pid ? 'this process already' : `process ${owner.pid}`;
      throw new Error(
        `${folder} is being written by ${who} since ${owner.since}. Wait for it, stop it, or choose another folder.`,
      );
    }
    await removeStale(path, owner);
  }
  throw new Error(`${path}: could not be taken; several processes are trying. Run again.`);
}
