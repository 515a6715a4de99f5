// Ctrl-C at every stage of `saekit train`: the first one saves and leaves a folder that goes on with the same bits, the second one ends the process
// at once and leaves such a folder, too.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readRun, runCheckpoints } from '../src/store/index.ts';
import { type AtChange, expectTheSame, startOrContinue } from './fixtures/lasting-run.ts';
import { createWorkspace, type Workspace } from './fixtures/workspace.ts';

let workspace: Workspace;
let reference: string;
beforeAll(async () => {
  workspace = createWorkspace();
  reference = workspace.newFolder();
  const { status, stderr } = await startOrContinue(workspace, reference);
  expect(status, stderr).toBe(0);
}, 120_000);
afterAll(() => workspace.remove());

const stages: Record<string, AtChange> = {
  'before anything is read': { place: 'link .lock', n: 1, when: 'after' },
  'while the shuffle buffer fills': {
    place: 'rename run.json',
    n: 1,
    when: 'after',
    signals: [10],
    goOn: true,
  },
  'in a step': { place: 'write metrics.jsonl', n: 5, when: 'after' },
  'while the arrays of a checkpoint are written': {
    place: 'write checkpoint/state.safetensors',
    n: 60,
    when: 'half',
  },
  'before a checkpoint gets its name': { place: 'rename checkpoint', n: 4, when: 'before' },
  'while an old checkpoint is removed': { place: 'remove gone checkpoint', n: 3, when: 'half' },
  'while the SAE is written': { place: 'write sae_weights.safetensors', n: 2, when: 'half' },
  'when the evaluation begins': { place: 'rename cfg.json', n: 1, when: 'after' },
  'while the evaluation is written': { place: 'write eval.json', n: 1, when: 'half' },
};
/** With the SAE written there is no training to go on with. */
const ended = new Set([
  'while the SAE is written',
  'when the evaluation begins',
  'while the evaluation is written',
]);

async function goOn(folder: string): Promise<void> {
  const { status, stderr } = await startOrContinue(workspace, folder);
  expect(status, stderr).toBe(0);
  await expectTheSame(folder, reference);
}

describe.each(Object.entries(stages))('Ctrl-C %s', (stage, at) => {
  const wait = at.signals ?? [];

  it('saves', async () => {
    const folder = workspace.newFolder();
    const once: AtChange = {
      ...at,
      when: at.when === 'half' ? 'before' : at.when!,
      signals: [...wait, 'SIGINT'],
    };
    const { status, stderr, stdout, changes } = await startOrContinue(workspace, folder, { at: once });
    expect(changes).toEqual([at.place]);
    expect(stdout).toMatch(/Stopping after this step and saving/);
    expect(existsSync(join(folder, '.lock'))).toBe(false);
    const run = await readRun(folder);
    if (ended.has(stage)) {
      expect(status, stderr).toBe(0);
      expect(run.status).toBe('finished');
      expect(readFileSync(join(folder, 'sae_weights.safetensors'))).toEqual(
        readFileSync(join(reference, 'sae_weights.safetensors')),
      );
      return;
    }
    expect(status).toBe(130);
    expect(run.status).toBe('interrupted');
    expect(stderr).toMatch(
      run.step === 0
        ? /^Stopped before the first step, so there is no state yet; begin with: .* train --resume /
        : /^Stopped at step \d+ of 40\. The state is saved; go on with: .* train --resume /,
    );
    if (run.step > 0) expect((await runCheckpoints(folder)).at(-1)).toBe(run.step);
    await goOn(folder);
  }, 60_000);

  it('twice ends at once', async () => {
    const folder = workspace.newFolder();
    const twice: AtChange = { ...at, goOn: false, signals: [...wait, 'SIGINT', 150, 'SIGINT'] };
    const { status, changes } = await startOrContinue(workspace, folder, { at: twice });
    expect(changes).toEqual([at.place]);
    expect(status).toBe(null);
    await goOn(folder);
  }, 60_000);
});
