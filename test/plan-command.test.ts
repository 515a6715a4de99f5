// `saekit plan` as a person meets it.
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { displayWidth } from '../src/cli/output/width.ts';
import { saekit } from './fixtures/command-line.ts';
import { createWorkspace, type Workspace } from './fixtures/workspace.ts';

let work: Workspace;
beforeAll(() => {
  work = createWorkspace();
}, 120_000);
afterAll(() => work.remove());

/** The flags of a small training run, as flags of plan. */
const small = (out: string): string[] => ['plan', ...work.small(out).slice(1)];

describe('plan', () => {
  it('says memory, operations, time and disk of a run, which it does not begin', async () => {
    const out = work.newFolder();
    const before = readdirSync(work.path);
    const { status, stdout, stderr } = await saekit([...small(out), '--json']);
    expect(stderr).toMatch(/measuring this machine/);
    expect(status).toBe(0);
    const estimate = JSON.parse(stdout);
    expect(estimate.work.perStep.encoder).toBe(2 * 256 * 128 * 32);
    expect(estimate.memory.peak).toBeGreaterThan(100e6);
    expect(estimate.memory.peak).toBeLessThan(estimate.memory.available);
    expect(estimate.time.seconds).toBeGreaterThan(0);
    const { stages } = estimate.time as { stages: { name: string; seconds: number }[] };
    expect(stages.slice(0, 3).map(({ name }) => name)).toEqual(['data', 'model', 'SAE']);
    expect(estimate.problems).toEqual([]);
    expect(existsSync(out)).toBe(false);
    expect(readdirSync(work.path)).toEqual(before);
  }, 60_000);

  it('prints tables that fit 100 columns, of a grid from a config file', async () => {
    const file = join(work.path, 'grid.json');
    const fields = { model: work.model, data: [work.corpus], tokens: 20_480, batchTokens: 256 };
    writeFileSync(file, JSON.stringify({ ...fields, grid: { latents: [64, 128], seed: [0, 1] } }));
    const { status, stdout, stderr } = await saekit(['plan', '--config', file, '--out', work.newFolder()]);
    expect(stderr).toBe('');
    expect(status).toBe(0);
    expect(stdout).toMatch(/SAE +4 on the same rows, topk, F 64, 128, K 32/);
    expect(stdout).toMatch(/training +saving +evaluation/);
    expect(stdout).toMatch(/resident set +\d+ MB +\d+ MB +\d+ MB/);
    expect(stdout).toMatch(/FLOP a step +ms a step +FLOP in all +in all +share/);
    expect(stdout).toMatch(/encoder product/);
    expect(stdout).toMatch(/at the end \(the last two checkpoints, the SAE of each\), .* at most, .* free/);
    expect(stdout).toMatch(/advice\n {2}\w+/);
    for (const line of stdout.split('\n')) expect(displayWidth(line)).toBeLessThanOrEqual(100);
  }, 60_000);

  it('refuses what train refuses, and a width beside rows that are there', async () => {
    const unknown = await saekit([...small(work.newFolder()), '--hook', 'blocks.0.hook_resid_pots']);
    expect(unknown.status).toBe(2);
    expect(unknown.stderr).toMatch(/Did you mean "blocks\.0\.hook_resid_post"/);
    const none = await saekit(['plan', '--latents', '128']);
    expect(none.status).toBe(2);
    expect(none.stderr).toMatch(/--model|--activations/);
    const both = await saekit([...small(work.newFolder()), '--width', '64']);
    expect(both.status).toBe(2);
    expect(both.stderr).toMatch(/leave out model, data and activations/);
    const half = await saekit(['plan', '--width', '0.5']);
    expect(half.status).toBe(2);
    expect(half.stderr).toMatch(/--width: found 0\.5/);
  }, 60_000);
});
