import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { chooseThreads, readMachine } from './node-cores.ts';

const roots: string[] = [];
/** A file system with these files. */
function plant(files: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(tmpdir(), 'saekit-cores-'));
  roots.push(root);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), `${text}\n`);
  }
  return root;
}
afterEach(() => {
  for (const root of roots.splice(0)) rmSync(root, { recursive: true });
});
/** CPUs of a machine by the core on which each of them is. */
const topology = (cores: readonly number[], allowed: string): Record<string, string> => ({
  'proc/self/status': `Name:\tnode\nCpus_allowed:\tff\nCpus_allowed_list:\t${allowed}\nMems_allowed_list:\t0`,
  ...Object.fromEntries(
    cores.map((core, cpu) => [
      `sys/devices/system/cpu/cpu${cpu}/topology/thread_siblings_list`,
      cores.flatMap((other, i) => (other === core ? [i] : [])).join(','),
    ]),
  ),
});

test.each([
  // cpus, cores, quota -> usable, many, few
  [{ cpus: 2, cores: 2, quota: undefined }, [2, 2, 2]],
  [{ cpus: 8, cores: 4, quota: undefined }, [8, 4, 4]],
  [{ cpus: 64, cores: 32, quota: undefined }, [64, 32, 16]],
  [{ cpus: 128, cores: 64, quota: undefined }, [128, 32, 16]],
  [{ cpus: 64, cores: 32, quota: 2.5 }, [2, 2, 2]],
  [{ cpus: 64, cores: 32, quota: 0.5 }, [1, 1, 1]],
  [{ cpus: 16, cores: undefined, quota: undefined }, [16, 16, 16]],
  [{ cpus: 1, cores: 1, quota: 4 }, [1, 1, 1]],
] as const)('%o', (machine, [usable, many, few]) => {
  expect(chooseThreads(machine)).toEqual({ usable, many, few });
});

test('counts the cores of the CPUs that the process may run on', () => {
  // Four cores with two threads each, siblings side by side and half the machine apart.
  expect(readMachine(plant(topology([0, 0, 1, 1, 2, 2, 3, 3], '0-7'))).cores).toBe(4);
  expect(readMachine(plant(topology([0, 1, 2, 3, 0, 1, 2, 3], '0-7'))).cores).toBe(4);
  expect(readMachine(plant(topology([0, 1, 2, 3, 0, 1, 2, 3], '0,4,6-7'))).cores).toBe(3);
  // Two threads on fast cores, one on small ones.
  expect(readMachine(plant(topology([0, 0, 1, 1, 2, 3], '0-5'))).cores).toBe(4);
  expect(readMachine(plant({ 'proc/self/status': 'Cpus_allowed_list:\t0-3' })).cores).toBeUndefined();
});

test('reads the limits of control groups, the tightest of all levels, of both versions', () => {
  const v2 = { 'proc/self/cgroup': '0::/pod/box' };
  const limit = (path: string, text: string) => ({ [`sys/fs/cgroup${path}/cpu.max`]: text });
  expect(readMachine(plant(v2)).quota).toBeUndefined();
  expect(readMachine(plant({ ...v2, ...limit('/pod/box', 'max 100000') })).quota).toBeUndefined();
  expect(
    readMachine(plant({ ...v2, ...limit('/pod/box', '800000 100000'), ...limit('/pod', '250000 100000') }))
      .quota,
  ).toBe(2.5);
  // Inside a container the group is the root of what it sees.
  expect(readMachine(plant({ 'proc/self/cgroup': '0::/', ...limit('', '50000 100000') })).quota).toBe(0.5);
  const v1 = (quota: string) => ({
    'proc/self/cgroup': '11:memory:/x\n4:cpu,cpuacct:/x\n1:name=systemd:/x',
    'sys/fs/cgroup/cpu/x/cpu.cfs_quota_us': quota,
    'sys/fs/cgroup/cpu/x/cpu.cfs_period_us': '100000',
  });
  expect(readMachine(plant(v1('300000'))).quota).toBe(3);
  expect(readMachine(plant(v1('-1'))).quota).toBeUndefined();
  expect(readMachine(plant({})).quota).toBeUndefined();
});

test('says something of this machine', () => {
  const machine = readMachine();
  const { usable, many, few } = chooseThreads(machine);
  expect(few).toBeGreaterThanOrEqual(1);
  expect(few <= many && many <= usable && usable <= machine.cpus).toBe(true);
});
