/**
 * Who holds a lock, and whether that process lives. A pid alone says little: in containers small ones come again at once, so the
 * start time counts, too. And the pid of another container or machine with the same host name cannot be looked up: such an owner
 * lives as long as it touches its lock.
 */
import { readFile, readlink, stat } from 'node:fs/promises';
import { hostname } from 'node:os';

/** A lock that has not been touched for this long has no owner, where the owner cannot be looked up. */
export const SILENT_MS = 60_000;

/** Fields after `since` are there where the system tells (Linux). */
export type LockOwner = {
  readonly pid: number;
  readonly host: string;
  readonly since: string;
  /** The process's start in clock ticks since boot. */
  readonly ticks?: string | undefined;
  readonly boot?: string | undefined;
  /** Namespace of the pid: containers have their own. */
  readonly space?: string | undefined;
};

async function describe(pid: number): Promise<Pick<LockOwner, 'ticks' | 'boot' | 'space'>> {
  const or = (promise: Promise<string>): Promise<string | undefined> => promise.catch(() => undefined);
  const status = await or(readFile(`/proc/${pid}/stat`, 'utf8'));
  return {
    // The second field is the name in brackets and may hold spaces; the start time is the 22nd field.
    ticks: status?.slice(status.lastIndexOf(')') + 2).split(' ')[19],
    boot: (await or(readFile('/proc/sys/kernel/random/boot_id', 'utf8')))?.trim(),
    space: await or(readlink('/proc/self/ns/pid')),
  };
}

const differ = (a: string | undefined, b: string | undefined): boolean =>
  a !== undefined && b !== undefined && a !== b;

/** Milliseconds since the owner touched the lock. */
export const silence = (path: string): Promise<number> =>
  stat(path).then(
    ({ mtimeMs }) => Date.now() - mtimeMs,
    () => Number.POSITIVE_INFINITY,
  );

/** Another container, boot or machine that has the name of this host: its pid says nothing here. */
export async function isElsewhere({ boot, space }: LockOwner): Promise<boolean> {
  const here = await describe(process.pid);
  return differ(boot, here.boot) || differ(space, here.space);
}

async function isAlive(owner: LockOwner, path: string): Promise<boolean> {
  if (await isElsewhere(owner)) return (await silence(path)) < SILENT_MS;
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  return !differ((await describe(owner.pid)).ticks, owner.ticks);
}

/** This process. */
export const describeMe = async (): Promise<LockOwner> => ({
  pid: process.pid,
  host: hostname(),
  since: new Date().toISOString(),
  ...(await describe(process.pid)),
});

/** Of an owner on another host nothing is known, so it counts as alive. */
export const isHeld = async (owner: LockOwner, path: string): Promise<boolean> =>
  owner.pid !== 0 && (owner.host !== hostname() || (await isAlive(owner, path)));

/** An owner that cannot be read has pid 0. */
export async function readOwner(path: string): Promise<LockOwner | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    const owner = JSON.parse(text) as LockOwner;
    if (Number.isInteger(owner.pid) && typeof owner.host === 'string') return owner;
  } catch {
    // Cut off: by a power cut, or on a disk without hard links.
  }
  return { pid: 0, host: '', since: '' };
}
