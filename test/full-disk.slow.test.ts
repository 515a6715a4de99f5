// A disk that is full at any change to a run folder, at any byte: what was there stays usable, the message says what was needed and what is still
// good, and with space again the run is continued to the same bits.
import { cpSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { loadSae } from '../src/sae/index.ts';
import { createRng } from '../src/shared/rng.ts';
import { readRun, readRunCheckpoint, readRunMetrics, runCheckpoints } from '../src/store/index.ts';
import { inspect } from '../src/workflows/index.ts';
import { saekit } from './fixtures/command-line.ts';
import {
  type AtChange,
  countsOf,
  expectTheSame,
  onChanges,
  startOrContinue,
} from './fixtures/lasting-run.ts';
import { createWorkspace, type Workspace } from './fixtures/workspace.ts';

let workspace: Workspace;
beforeAll(() => {
  workspace = createWorkspace();
}, 120_000);
afterAll(() => workspace.remove());

const FULL =
  /No space left on the disk while writing .+ to .+ \([\d.]+ (bytes|MB|GB) needed, .+ free\)\. .+ Free some space and run again\./;

/** Before the run has a folder there is nothing to say about it. */
const begins = ({ place, n }: AtChange): boolean => place === 'mkdir run folder' && n === 1;

/** All that is there can be read. */
async function expectUsable(folder: string): Promise<void> {
  if (!existsSync(join(folder, 'run.json'))) return;
  await inspect(folder);
  await readRunMetrics(folder);
  for (const step of await runCheckpoints(folder)) await readRunCheckpoint(folder, step);
  if (existsSync(join(folder, 'cfg.json'))) await loadSae(folder);
}

it('training: every kind of change, every kind of file', async () => {
  const reference = workspace.newFolder();
  const whole = await startOrContinue(workspace, reference);
  expect(whole.status, whole.stderr).toBe(0);
  const rng = createRng('full disk');
  const points: AtChange[] = [...countsOf(whole.changes)].flatMap(([place, count]) => {
    if (/^(remove|unlink)/.test(place)) return [];
    const at = { place, n: 1 + rng.int(count), full: 0 };
    return place.startsWith('write') ? [at, { ...at, n: 1 + rng.int(count), full: 1 + rng.int(60) }] : [at];
  });
  const messages: string[] = [];
  async function tryAt(at: AtChange): Promise<void> {
    const folder = workspace.newFolder();
    const { changes, status, stderr } = await startOrContinue(workspace, folder, { at });
    messages.push(`${at.place.padEnd(34)} ${stderr.trim().replaceAll(workspace.path, '…')}`);
    expect(changes).toEqual([at.place]);
    expect(status).toBe(1);
    expect(stderr).not.toMatch(/\n {4}at /);
    expect(stderr).toMatch(begins(at) ? /The disk is full\. Free some space/ : FULL);
    const last = (await runCheckpoints(folder)).at(-1);
    if (stderr.includes('while writing the checkpoint'))
      expect(stderr).toContain(
        last === undefined ? 'There is no earlier checkpoint.' : `The checkpoint of step ${last} is intact.`,
      );
    await expectUsable(folder);
    const left = existsSync(folder) ? (readdirSync(folder, { recursive: true }) as string[]) : [];
    expect(left.filter((name) => name.startsWith('.lock') || name.includes('tmp-'))).toEqual([]);
    const after = await startOrContinue(workspace, folder);
    expect(after.status, after.stderr).toBe(0);
    await expectTheSame(folder, reference);
  }
  const failures: string[] = [];
  async function work(): Promise<void> {
    for (let at = points.pop(); at; at = points.pop())
      await tryAt(at).catch((error: Error) => failures.push(`${JSON.stringify(at)}: ${error.message}`));
  }
  await Promise.all([work(), work()]);
  console.log(messages.sort().join('\n'));
  expect(failures).toEqual([]);
}, 1_200_000);

it('evaluation: the earlier SAE, eval.json and cards stay', async () => {
  const folder = workspace.newFolder();
  const { status, stderr } = await startOrContinue(workspace, folder);
  expect(status, stderr).toBe(0);
  const before = workspace.newFolder();
  cpSync(folder, before, { recursive: true });
  for (const place of ['write eval.json', 'rename eval.json', 'write features/cards.json']) {
    const run = await saekit(
      ['eval', folder, '--max-tokens', '300'],
      onChanges(folder, { place, n: 1, full: 5 }),
    );
    expect(run.status, place).toBe(1);
    expect(run.stderr, place).toMatch(FULL);
    for (const name of ['sae_weights.safetensors', 'cfg.json', 'features/cards.json', 'run.json'])
      expect(readFileSync(join(folder, name)).equals(readFileSync(join(before, name))), name).toBe(true);
    await expectUsable(folder);
    expect((await readRun(folder)).status).toBe('finished');
  }
}, 120_000);
