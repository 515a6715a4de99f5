// Runs cannot be lost: `saekit train` is killed (SIGKILL) a hundred times, at its own changes to the run folder and by the clock, and every run
// that is continued to its end has the bits of the run that was left alone.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRng } from '../src/shared/rng.ts';
import { readRunMetrics } from '../src/store/index.ts';
import { inspect } from '../src/workflows/index.ts';
import {
  type AtChange,
  countsOf,
  expectTheSame,
  isFinished,
  startOrContinue,
} from './fixtures/lasting-run.ts';
import { createWorkspace, type Workspace } from './fixtures/workspace.ts';

const KILLS = 100;
/** Chains of kills at once: there are two cores. */
const AT_ONCE = 2;

const WHEN = ['before', 'half', 'after'] as const;
type When = (typeof WHEN)[number];
type Kill = { readonly at: AtChange & { readonly when: When } } | { readonly killAfterMs: number };

let workspace: Workspace;
beforeAll(() => {
  workspace = createWorkspace();
}, 120_000);
afterAll(() => workspace.remove());

/** Between a kill and the continuation: what is there can be looked at, and says that the process died. */
async function expectInspectable(folder: string): Promise<void> {
  if (!existsSync(join(folder, 'run.json'))) return;
  const found = await inspect(folder);
  if (found.kind !== 'run') throw new Error(`${folder} is ${found.kind}`);
  expect(found.writer).toBeUndefined();
  if (found.run.status !== 'finished') expect(found.run.status).toBe('running');
}

/** What to kill at: every change of `first` once and every one that only `later` has, then any of them, every fifth time by the clock. */
function chainsOfKills(first: Map<string, number>, later: Map<string, number>, longestMs: number) {
  const shuffle = createRng('kill');
  const wanted = [...first.keys()].map((place) => ({ place, order: shuffle.u32() }));
  wanted.sort((a, b) => a.order - b.order);
  const wantedLater = [...later.keys()].filter((place) => !first.has(place));
  let chains = 0;
  return {
    isCovered: () => wanted.length + wantedLater.length === 0,
    next(): { kills: Kill[]; elsewhere: boolean } {
      const i = chains++;
      const rng = createRng(`kill/${i}`);
      // Most of what can be lost is in a checkpoint.
      const somewhere = (changes: Map<string, number>): string =>
        rng.pick([...changes.keys()].filter((place) => place.includes('checkpoint') || rng.uniform() < 0.1));
      const anyOf = (changes: Map<string, number>, place = somewhere(changes)): Kill => ({
        at: { place, n: 1 + rng.int(changes.get(place)!), when: rng.pick(WHEN) },
      });
      const byClock = (): Kill => ({ killAfterMs: longestMs * (0.2 + 0.8 * rng.uniform()) });
      const second = wantedLater.pop();
      const kills = [
        i % 5 === 4 ? byClock() : anyOf(first, wanted.pop()?.place),
        ...(second !== undefined || rng.uniform() < 0.6 ? [anyOf(later, second)] : []),
        ...(rng.uniform() < 0.2 ? [byClock()] : []),
      ];
      return { kills, elsewhere: rng.uniform() < 0.25 };
    },
  };
}

describe('kill -9', () => {
  it('a hundred times: nothing is lost, and the finished SAE has the same bits', async () => {
    const finish = async (folder: string, workers?: number) => {
      const run = await startOrContinue(workspace, folder, { workers });
      expect(run.status, run.stderr).toBe(0);
      return countsOf(run.changes);
    };
    const reference = workspace.newFolder();
    const begun = performance.now();
    const first = await finish(reference);
    const longestMs = performance.now() - begun;
    expect(Math.max(...(await readRunMetrics(reference)).map(({ dead }) => Number(dead)))).toBeGreaterThan(0);
    // What a continuation does beyond that: takes the lock over, cuts the logs.
    const continued = workspace.newFolder();
    await startOrContinue(workspace, continued, { at: { place: 'rename checkpoint', n: 6, when: 'after' } });
    const later = await finish(continued);
    await expectTheSame(continued, reference);

    const chains = chainsOfKills(first, later, longestMs);
    const hits = new Map<string, Record<When, number>>();
    let [kills, processes, runs, clock, moved] = [0, 0, 0, 0, 0];
    let failed = false;
    async function work(): Promise<void> {
      while (!failed && (kills < KILLS || !chains.isCovered())) {
        const chain = chains.next();
        const folder = workspace.newFolder();
        const workers = chain.elsewhere ? 1 : undefined;
        runs++;
        for (const kill of chain.kills) {
          if (isFinished(folder)) break;
          const { status, stderr } = await startOrContinue(workspace, folder, { ...kill, workers });
          processes++;
          if (status !== null) {
            // It came to its end before that.
            expect(status, stderr).toBe(0);
            continue;
          }
          kills++;
          if ('killAfterMs' in kill) clock++;
          else {
            const { place, when } = kill.at;
            const hit = hits.get(place) ?? { before: 0, half: 0, after: 0 };
            hit[when]++;
            hits.set(place, hit);
          }
          await expectInspectable(folder);
        }
        if (!isFinished(folder)) {
          await finish(folder, workers);
          processes++;
          if (chain.elsewhere) moved++;
        }
        await expectTheSame(folder, reference);
      }
    }
    const stop = (error: unknown): never => {
      failed = true;
      throw error;
    };
    const ends = await Promise.allSettled(Array.from({ length: AT_ONCE }, () => work().catch(stop)));
    for (const end of ends) if (end.status === 'rejected') throw end.reason;

    const table = [...hits]
      .sort(([a], [b]) => a.localeCompare(b))
      .map(
        ([place, { before, half, after }]) =>
          `${place.padEnd(34)} ${'#'.repeat(before)}${'%'.repeat(half)}${'*'.repeat(after)}`,
      );
    console.log(
      `${kills} kills of ${processes} processes in ${runs} runs (# before, % half-way, * after; ${clock} by the clock; ${moved} runs continued on another number of workers)\n${table.join('\n')}`,
    );
    expect(kills).toBeGreaterThanOrEqual(KILLS);
    expect([...hits.keys()]).toEqual(expect.arrayContaining([...first.keys()]));
    const inCheckpoints = [...hits].filter(([place]) => place.includes('checkpoint'));
    expect(inCheckpoints.flatMap(([, hit]) => Object.values(hit)).reduce((a, b) => a + b)).toBeGreaterThan(
      25,
    );
    expect(moved).toBeGreaterThan(3);
  }, 1_200_000);

  it('of several SAEs that train on the same rows', async () => {
    const more = ['--grid', 'seed=0,1'];
    const members = ['seed-0', 'seed-1'];
    const run = async (folder: string, at?: AtChange) => {
      const result = await startOrContinue(workspace, folder, { at, more });
      if (result.status !== null) expect(result.status, result.stderr).toBe(0);
      return result;
    };
    const reference = workspace.newFolder();
    const changes = countsOf((await run(reference)).changes);
    const rng = createRng('kill a grid');
    const places = [...changes.keys()].filter((place) => /grid|member/.test(place));
    async function killOne(): Promise<void> {
      const place = rng.pick(places);
      const at = { place, n: 1 + rng.int(changes.get(place)!), when: rng.pick(WHEN) };
      const folder = workspace.newFolder();
      expect((await run(folder, at)).status).toBe(null);
      if (!members.every((member) => isFinished(join(folder, member)))) await run(folder);
      for (const member of members) await expectTheSame(join(folder, member), join(reference, member));
    }
    for (let i = 0; i < 12; i += AT_ONCE) await Promise.all(Array.from({ length: AT_ONCE }, killOne));
  }, 600_000);
});
