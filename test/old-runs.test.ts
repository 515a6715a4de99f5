// Folders that earlier versions of saekit wrote (test/oracles/runs/README.md) are inspected, continued, evaluated and read.
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readTokenManifest } from '../src/data/index.ts';
import { loadSae } from '../src/sae/index.ts';
import type { EvalResult } from '../src/shared/eval.ts';
import { readRunMetrics } from '../src/store/index.ts';
import type { Inspection } from '../src/workflows/index.ts';
import { buildOnce, saekit } from './fixtures/command-line.ts';
import { root } from './repository.ts';

const golden = join(root, 'test', 'golden', 'runs');
const versions = readdirSync(golden);
let work = '';
beforeAll(() => {
  buildOnce();
  work = mkdtempSync(join(tmpdir(), 'saekit-old-runs-'));
  cpSync(golden, work, { recursive: true });
}, 120_000);
afterAll(() => rmSync(work, { recursive: true, force: true }));

const weights = (folder: string): Buffer => readFileSync(join(folder, 'sae_weights.safetensors'));
/** Largest difference of two arrays, in units of the root mean square of the first. */
function distance(a: Float32Array, b: Float32Array): number {
  const rms = Math.sqrt(a.reduce((sum, x) => sum + x * x, 0) / a.length);
  return a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0) / rms;
}

describe.each(versions)('a folder of schema %s', (version) => {
  const cli = async (...args: string[]): Promise<string> => {
    const { status, stdout, stderr } = await saekit(args, { cwd: join(work, version) });
    expect(status, stderr).toBe(0);
    return stdout;
  };

  it('is inspected', async () => {
    const stopped = JSON.parse(await cli('inspect', 'interrupted', '--json')) as Inspection & { kind: 'run' };
    expect(stopped).toMatchObject({
      run: { status: 'interrupted', step: 27, config: { latents: 64, ema: 0.9 } },
      checkpoints: [20, 27],
    });
    const done = JSON.parse(await cli('inspect', 'finished', '--json')) as Inspection & { kind: 'run' };
    expect(done.run.status).toBe('finished');
    expect(done.metrics.map(({ step }) => step)).toEqual([5, 10, 15, 20, 25, 30, 35, 40]);
    expect(done.evaluation!.candidates.map(({ name }) => name)).toEqual(['SAE', 'PCA-4']);
    expect(done.cards!.cards).toHaveLength(12);
    expect(await cli('inspect', 'finished')).toMatch(/12 feature cards/);
  }, 60_000);

  it('is continued to the bits of the run that was not interrupted', async () => {
    await cli('train', '--resume', 'interrupted');
    const [then, now] = ['finished', 'interrupted'].map((name) => join(work, version, name));
    // The bits of 40 steps are those of one kind of processor: on another, and after a change of the arithmetic, the run that was finished
    // then has others than one that is made now.
    const { config } = JSON.parse(readFileSync(join(then!, 'run.json'), 'utf8')) as { config: object };
    const fresh = await freshRun(version, config);
    if (weights(fresh).equals(weights(then!))) {
      expect(weights(now!).equals(weights(then!))).toBe(true);
      const lines = (metrics: object[]) => metrics.map((line) => ({ ...line, ...timing }));
      expect(lines(await readRunMetrics(now!))).toEqual(lines(await readRunMetrics(then!)));
    }
    const [a, b] = [await loadSae(then!), await loadSae(now!)];
    for (const name of ['W_enc', 'W_dec', 'b_enc', 'b_dec'] as const)
      expect(distance(a[name], b[name]), name).toBeLessThan(0.01);
  }, 60_000);

  it('is evaluated', async () => {
    const file = join(work, version, 'finished', 'eval.json');
    const before = JSON.parse(readFileSync(file, 'utf8')) as EvalResult;
    const printed = await cli('eval', 'finished', '--max-tokens', '400', '--json');
    const after = JSON.parse(printed) as EvalResult;
    expect(after.rows).toBe(before.rows);
    expect(after.candidates[0]!.fvu.value).toBeCloseTo(before.candidates[0]!.fvu.value!, 4);
    expect(after.candidates[0]!.ce.value).toBeCloseTo(before.candidates[0]!.ce.value!, 4);
    expect(existsSync(join(work, version, 'finished', 'features', 'cards.json'))).toBe(true);
  }, 60_000);

  it('has packed rows that are read and trained on', async () => {
    expect((await readTokenManifest(join(work, version, 'tokens')))!.train.documents).toBeGreaterThan(5);
    const small = [
      '--latents',
      '64',
      '--k',
      '4',
      '--batch-tokens',
      '64',
      '--tokens',
      '128',
      '--eval-tokens',
      '0',
    ];
    const args = [
      'train',
      '--model',
      'model',
      '--data',
      'tokens',
      '--out',
      'from-tokens',
      ...small,
      '--json',
    ];
    expect(JSON.parse(await cli(...args))).toMatchObject({ status: 'finished', step: 2 });
  }, 60_000);
});

const timing = { dataMs: 0, modelMs: 0, saeMs: 0, tokensPerSecond: 0 };

/** The same run with this saekit, from its beginning. */
async function freshRun(version: string, config: object): Promise<string> {
  const cwd = join(work, version);
  writeFileSync(join(cwd, 'config.json'), JSON.stringify({ ...config, evalTokens: 0 }));
  const { status, stderr } = await saekit(['train', '--config', 'config.json', '--out', 'fresh'], { cwd });
  expect(status, stderr).toBe(0);
  return join(cwd, 'fresh');
}
