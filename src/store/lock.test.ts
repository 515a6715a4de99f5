// One writer per run folder: processes that live, were killed, belong to another host or container, or race for a stale lock.
import { spawn, spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createRunFolder, lockOwner } from './index.ts';
import { lockFolder } from './lock.ts';

let root = '';
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'saekit-lock-'));
});
afterEach(() => rm(root, { recursive: true }));

const caught = async (promise: Promise<unknown>): Promise<string> =>
  await promise.then(
    () => 'nothing was thrown',
    (error: Error) => error.message,
  );
const dead = spawnSync(process.execPath, ['-e', '']).pid;
let folders = 0;
async function withLock(text: string, silentMs = 0): Promise<string> {
  const path = join(root, `run${folders++}`);
  await mkdir(path);
  await writeFile(join(path, '.lock'), text);
  const touched = new Date(Date.now() - silentMs);
  await utimes(join(path, '.lock'), touched, touched);
  return path;
}
/** A process that imports the lock and runs `body`; `lines(n)` waits until it has printed so many. */
function child(body: string) {
  const imports = `import { existsSync, readFileSync } from 'node:fs';
    import { lockFolder } from ${JSON.stringify(pathToFileURL(join(import.meta.dirname, 'lock.ts')).href)};`;
  const args = ['--import', 'tsx', '--input-type=module', '-e', `${imports}\n${body}`];
  const started = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let out = '';
  started.stdout.on('data', (bytes: Buffer) => {
    out += bytes;
  });
  const lines = (count: number) =>
    vi.waitFor(() => expect(out.split('\n').length).toBeGreaterThan(count), { timeout: 30_000 });
  const done = new Promise<string>((resolve) => started.on('close', () => resolve(out)));
  return { pid: started.pid!, kill: () => started.kill('SIGKILL'), done, lines };
}

describe('lock of a run folder', () => {
  it('refuses a second writer while the first lives, and lets it in after that closed', async () => {
    const path = join(root, 'run');
    const first = await createRunFolder(path);
    expect((await lockOwner(path))?.pid).toBe(process.pid);
    expect(await caught(createRunFolder(path))).toMatch(/being written by this process already/);
    await first.close();
    expect(await lockOwner(path)).toBeUndefined();
    await (await createRunFolder(path)).close();
    expect(await readdir(path)).toEqual([]);
  });

  it('is respected while its process lives, and taken over when that was killed', async () => {
    const path = join(root, 'run');
    await mkdir(path);
    const other = child(
      `await lockFolder(${JSON.stringify(path)}); console.log('held'); setTimeout(() => {}, 60000);`,
    );
    await other.lines(1);
    expect(await caught(createRunFolder(path))).toMatch(new RegExp(`by process ${other.pid} since 2`));
    expect((await lockOwner(path))?.pid).toBe(other.pid);
    other.kill();
    await other.done;
    expect(await readdir(path)).toEqual(['.lock']);
    expect(await lockOwner(path)).toBeUndefined();
    await (await createRunFolder(path)).close();
  }, 30_000);

  it('is taken over when its process has died, its pid belongs to another process now, or it was cut off', async () => {
    const owners = [
      JSON.stringify({ pid: dead, host: hostname(), since: 'x' }),
      '{"pid":',
      // This process's pid, but started at another time: what a restarted container finds.
      ...(process.platform === 'linux'
        ? [JSON.stringify({ pid: process.pid, host: hostname(), since: 'x', ticks: '1' })]
        : []),
    ];
    for (const owner of owners) {
      const path = await withLock(owner);
      expect(await lockOwner(path)).toBeUndefined();
      await (await createRunFolder(path)).close();
      expect(await readdir(path)).toEqual([]);
    }
  });

  it('of another host is never taken over; the message says what to remove and when it was last touched', async () => {
    const path = await withLock(JSON.stringify({ pid: 1, host: 'elsewhere', since: 'x' }), 300_000);
    const message = await caught(createRunFolder(path));
    expect(message).toMatch(/on elsewhere since x; its last sign of life was 5 min ago.*remove .*\.lock/);
  });

  it.runIf(process.platform === 'linux')(
    'of another container or boot with this host name lives as long as it is touched',
    async () => {
      for (const elsewhere of [{ space: 'pid:[1]' }, { boot: 'another' }]) {
        // The pid is that of a process that lives here: it must not be looked up.
        const owner = JSON.stringify({ pid: process.ppid, host: hostname(), since: 'x', ...elsewhere });
        const fresh = await withLock(owner, 30_000);
        expect(await caught(createRunFolder(fresh))).toMatch(
          /by process \d+ on another container or machine called/,
        );
        const silent = await withLock(owner, 90_000);
        await (await createRunFolder(silent)).close();
      }
    },
  );

  it('is touched every ten seconds while it is held', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    try {
      const unlock = await lockFolder(root);
      const lock = join(root, '.lock');
      const long = new Date(0);
      await utimes(lock, long, long);
      vi.advanceTimersByTime(10_000);
      await vi.waitFor(async () => expect(Date.now() - (await stat(lock)).mtimeMs).toBeLessThan(5000));
      await unlock();
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  it('clears away what processes left that were killed while they took it', async () => {
    await writeFile(join(root, `.lock.${dead}-0`), 'x');
    const living = JSON.stringify({ pid: process.ppid, host: hostname(), since: 'x' });
    await writeFile(join(root, `.lock.${process.ppid}-0`), living);
    await writeFile(join(root, `run.json.tmp-${dead}-0`), '{"sch');
    await (await createRunFolder(root)).close();
    expect(await readdir(root)).toEqual([`.lock.${process.ppid}-0`]);
  });

  it('goes to exactly one of four processes that find it stale at the same moment, 40 times', async () => {
    const rounds = 40;
    const stale = JSON.stringify({ pid: dead, host: hostname(), since: 'x' });
    for (let r = 0; r < rounds; r++) {
      await mkdir(join(root, `race${r}`));
      await writeFile(join(root, `race${r}`, '.lock'), stale);
    }
    const go = join(root, 'go');
    const racers = Array.from({ length: 4 }, () =>
      child(`
        process.setMaxListeners(0);
        console.log('ready');
        while (!existsSync(${JSON.stringify(go)})) await new Promise((resolve) => setTimeout(resolve, 5));
        const begin = Number(readFileSync(${JSON.stringify(go)}, 'utf8'));
        const won = [];
        for (let r = 0; r < ${rounds}; r++) {
          while (Date.now() < begin + 10 * r) await new Promise((resolve) => setImmediate(resolve));
          await lockFolder(${JSON.stringify(root)} + '/race' + r).then(() => won.push(r), (error) => {
            if (!/being written by process|several processes are trying/.test(error.message)) throw error;
          });
        }
        console.log(won.join());
        // Locks are held until all have tried.
        while (existsSync(${JSON.stringify(go)})) await new Promise((resolve) => setTimeout(resolve, 5));
      `),
    );
    await Promise.all(racers.map(({ lines }) => lines(1)));
    await writeFile(`${go}-now`, String(Date.now() + 50));
    await rename(`${go}-now`, go);
    await Promise.all(racers.map(({ lines }) => lines(2)));
    const holders = await Promise.all(
      Array.from(
        { length: rounds },
        async (_, r) =>
          (JSON.parse(await readFile(join(root, `race${r}`, '.lock'), 'utf8')) as { pid: number }).pid,
      ),
    );
    await rm(go);
    const wins = (await Promise.all(racers.map(({ done }) => done))).map((text) =>
      text.split('\n')[1]!.split(',').filter(Boolean).map(Number),
    );
    expect(wins.flat().sort((a, b) => a - b)).toEqual(Array.from({ length: rounds }, (_, r) => r));
    for (const [r, pid] of holders.entries())
      expect(wins[racers.findIndex((racer) => racer.pid === pid)]).toContain(r);
  }, 60_000);
});
