/**
 * How many threads the engine should have on this machine.
 *
 *     usable = min(CPUs that this process may run on, quota of its control groups)
 *     many   = min(usable, cores of those CPUs, 32)      many rows at once: prompts, harvests
 *     few    = min(many, 16)                             one row after the other: a token is a read of all weights
 *
 * A core with two hardware threads counts once: both would wait for the same multipliers. Reading weights is bound by memory, which
 * some cores exhaust; more only wait for one another. The caps are the usual wisdom, not measured here (the machines of this project had 2 cores).
 * Never changes a result; `threads` of openModel and `--threads` override it.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';

export type Machine = {
  /** CPUs, in the sense of the operating system, that this process may run on. */
  readonly cpus: number;
  /** Distinct cores among them; undefined where the system does not say. */
  readonly cores: number | undefined;
  /** CPU time per time that control groups allow; undefined without a limit. */
  readonly quota: number | undefined;
};

const MANY = 32;
const FEW = 16;

export function chooseThreads({ cpus, cores = cpus, quota = cpus }: Machine): {
  usable: number;
  many: number;
  few: number;
} {
  // Half a CPU is still one thread; two and a half are two.
  const usable = Math.max(1, Math.min(cpus, Math.floor(quota)));
  const many = Math.min(usable, Math.max(1, cores), MANY);
  return { usable, many, few: Math.min(many, FEW) };
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}

/** 0-3,8 -> 0, 1, 2, 3, 8 */
const listed = (list: string): number[] =>
  list.split(',').flatMap((part) => {
    const [from, to = from] = part.split('-').map(Number) as [number, number?];
    return Array.from({ length: to! - from + 1 }, (_, i) => from + i);
  });

/** Distinct cores among the CPUs that this process may run on. */
function coresOf(root: string): number | undefined {
  const allowed = /^Cpus_allowed_list:\s*(\S+)$/m.exec(read(join(root, 'proc/self/status')) ?? '')?.[1];
  const folder = join(root, 'sys/devices/system/cpu');
  if (allowed === undefined || !existsSync(folder)) return undefined;
  const here = new Set(readdirSync(folder));
  const cores = new Set<string>();
  for (const cpu of listed(allowed)) {
    if (!here.has(`cpu${cpu}`)) continue;
    const siblings = read(join(folder, `cpu${cpu}`, 'topology/thread_siblings_list'));
    if (siblings === undefined) return undefined;
    cores.add(siblings);
  }
  return cores.size > 0 ? cores.size : undefined;
}

/** The tightest limit from this process's control group up to the root, of version 2 or 1. */
function quotaOf(root: string): number | undefined {
  const limits: number[] = [];
  for (const line of (read(join(root, 'proc/self/cgroup')) ?? '').split('\n')) {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (path === undefined || (controllers !== '' && !controllers!.split(',').includes('cpu'))) continue;
    const mount = join(root, 'sys/fs/cgroup', controllers === '' ? '' : 'cpu');
    for (let group = path; ; group = dirname(group)) {
      const folder = join(mount, group);
      const [quota, period] =
        controllers === ''
          ? (read(join(folder, 'cpu.max')) ?? '').split(' ')
          : [read(join(folder, 'cpu.cfs_quota_us')), read(join(folder, 'cpu.cfs_period_us'))];
      const limit = Number(quota) / Number(period);
      // "max" and -1 are no limit.
      if (limit > 0 && Number.isFinite(limit)) limits.push(limit);
      if (group === '/') break;
    }
  }
  return limits.length > 0 ? Math.min(...limits) : undefined;
}

/** @param root of the file system; another one in tests */
export const readMachine = (root = '/'): Machine => ({
  cpus: availableParallelism(),
  cores: coresOf(root),
  quota: quotaOf(root),
});
