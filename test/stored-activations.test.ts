// Training on activations that lie on disk: no model, no text, everything else as ever.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { joinChunks, writeSafetensors } from '../src/formats/index.ts';
import type { EvalResult } from '../src/shared/eval.ts';
import { createRng } from '../src/shared/rng.ts';
import { readRun, readRunMetrics } from '../src/store/index.ts';
import { buildOnce, type Run, saekit } from './fixtures/command-line.ts';
import { createWorkspace } from './fixtures/workspace.ts';

const D = 12;
const N = 6000;
let place: string;
let rows: string;
let folders = 0;
const newFolder = (): string => join(place, `run-${folders++}`);

/** Sparse mixtures of 30 directions: what an SAE can find. */
function mixtures(n: number, seed: string): Float32Array {
  const directions = createRng('directions');
  const W = Float32Array.from({ length: 30 * D }, () => directions.normal());
  const rng = createRng(seed);
  const x = new Float32Array(n * D);
  for (let i = 0; i < n; i++)
    for (let j = 0; j < 3; j++) {
      const [latent, z] = [rng.int(30), rng.uniform()];
      for (let d = 0; d < D; d++) x[i * D + d]! += z * W[latent * D + d]!;
    }
  return x;
}

function write(name: string, data: Float32Array): string {
  const path = join(place, name);
  writeFileSync(
    path,
    joinChunks(writeSafetensors({ x: { dtype: 'F32', shape: [data.length / D, D], data } })),
  );
  return path;
}

beforeAll(() => {
  buildOnce();
  place = mkdtempSync(join(tmpdir(), 'saekit-stored-'));
  rows = write('rows.safetensors', mixtures(N, 'rows'));
}, 120_000);
afterAll(() => rmSync(place, { recursive: true, force: true }));

const train = (out: string, extra: readonly string[] = [], options?: object): Promise<Run> =>
  saekit(
    [
      ...['train', '--activations', rows, '--out', out, '--latents', '64', '--k', '4', '--lr', '1e-2'],
      ...['--batch-tokens', '256', '--tokens', String(120 * 256), '--shuffle-tokens', '2048'],
      ...['--log-every-steps', '20', '--checkpoint-every-tokens', String(20 * 256)],
      ...extra,
    ],
    options,
  );
const weights = (folder: string): Buffer => readFileSync(join(folder, 'sae_weights.safetensors'));
const evaluation = (folder: string): EvalResult =>
  JSON.parse(readFileSync(join(folder, 'eval.json'), 'utf8')) as EvalResult;

describe('train --activations', () => {
  it('trains, measures held-out rows beside PCA, and says where the rows were', async () => {
    const folder = newFolder();
    const { status, stdout, stderr } = await train(folder);
    expect([status, stderr]).toEqual([0, '']);
    const result = evaluation(folder);
    const [sae, pca] = result.candidates;
    expect(result.rows).toBe(300);
    expect(sae!.fvu.value!).toBeLessThan(0.6 * pca!.fvu.value!);
    expect(sae!.deltaCe.value).toBeNull();
    expect(sae!.latents!.singleToken.n).toBe(0);
    expect(stdout).not.toMatch(/delta CE|single-token|n\/a/);
    const { provenance } = await readRun(folder);
    expect(provenance.activations).toMatchObject({ path: rows, rows: N, D });
    expect(provenance.model).toBeUndefined();
    const log = await readRunMetrics(folder);
    expect(Number(log.at(-1)!.fvu)).toBeLessThan(0.5 * Number(log[0]!.fvu));
    const inspected = await saekit(['inspect', folder]);
    expect(inspected.status).toBe(0);
    expect(inspected.stdout).toMatch(/rows .*6,000 rows/);
    // Again, on more rows: nothing needs a model.
    const again = await saekit(['eval', folder, '--controls']);
    expect([again.status, again.stderr]).toEqual([0, '']);
    expect(evaluation(folder).candidates.map(({ name }) => name)).toEqual(['SAE', 'frozen decoder', 'PCA-4']);
  }, 120_000);

  it('goes on after Ctrl-C with the same bits', async () => {
    const whole = newFolder();
    expect((await train(whole)).status).toBe(0);
    const stopped = newFolder();
    let sent = false;
    const interrupted = await train(stopped, [], {
      onOutput: (_text: string, interrupt: () => void) => {
        if (sent || !existsSync(join(stopped, 'checkpoints', 'step-20'))) return;
        sent = true;
        interrupt();
      },
      watch: true,
    });
    expect(interrupted.status).toBe(130);
    expect((await saekit(['train', '--resume', stopped])).status).toBe(0);
    expect(weights(stopped).equals(weights(whole))).toBe(true);
  }, 120_000);

  it('measures on other rows with --heldout, on another share with --heldout-share, on none with 0', async () => {
    const other = write('other.safetensors', mixtures(700, 'other'));
    const folder = newFolder();
    expect((await train(folder, ['--heldout', other])).status).toBe(0);
    expect(evaluation(folder).rows).toBe(700);
    const half = newFolder();
    expect((await train(half, ['--heldout-share', '0.5'])).status).toBe(0);
    expect(evaluation(half).rows).toBe(3000);
    const none = newFolder();
    expect((await train(none, ['--heldout-share', '0'])).status).toBe(0);
    expect(existsSync(join(none, 'eval.json'))).toBe(false);
    const refused = await saekit(['eval', none]);
    expect(refused.stderr).toMatch(/held out no rows/);
  }, 120_000);

  it('trains a grid, one of whose members is the single run', async () => {
    const folder = newFolder();
    expect((await train(folder, ['--grid', 'latents=32,64', 'seed=0,1'])).status).toBe(0);
    const alone = newFolder();
    expect((await train(alone, ['--seed', '1', '--data-seed', '0'])).status).toBe(0);
    expect(weights(join(folder, 'latents-64_seed-1')).equals(weights(alone))).toBe(true);
  }, 120_000);

  it('--data-seed changes the order of the rows, not the start', async () => {
    const [first, second] = [newFolder(), newFolder()];
    expect((await train(first, ['--seed', '1', '--data-seed', '0'])).status).toBe(0);
    expect((await train(second, ['--seed', '1', '--data-seed', '2'])).status).toBe(0);
    expect(weights(first).equals(weights(second))).toBe(false);
  }, 120_000);

  it('refuses what cannot go together, and rows that are no numbers by file and row', async () => {
    const withModel = await train(newFolder(), ['--model', 'demo/model']);
    expect([withModel.status, withModel.stderr]).toEqual([
      2,
      expect.stringMatching(/--activations: found .*expected no model and no data beside it/),
    ]);
    const neither = await saekit(['train', '--latents', '64']);
    expect(neither.stderr).toMatch(/--model is missing.*--data is missing/s);
    const x = mixtures(3000, 'bad');
    x[1234 * D + 5] = Number.NaN;
    const bad = write('bad.safetensors', x);
    // While it trains, and before the first step, where there is no state to save.
    for (const shuffled of ['512', '3000']) {
      const folder = newFolder();
      const failed = await saekit([
        ...['train', '--activations', bad, '--out', folder, '--latents', '64', '--k', '4'],
        ...['--batch-tokens', '256', '--tokens', '20k', '--shuffle-tokens', shuffled, '--heldout-share', '0'],
      ]);
      expect(failed.status).toBe(1);
      expect(failed.stderr).toMatch(/Activation 5 is NaN .*bad\.safetensors.*1234/);
      expect((await readRun(folder)).status).toBe('failed');
      expect(existsSync(join(folder, 'checkpoints'))).toBe(shuffled === '512');
    }
    const narrow = join(place, 'narrow.safetensors');
    writeFileSync(
      narrow,
      joinChunks(writeSafetensors({ x: { dtype: 'F32', shape: [100, 4], data: new Float32Array(400) } })),
    );
    const mismatch = await train(newFolder(), ['--heldout', narrow]);
    expect(mismatch.stderr).toMatch(/rows of width 4, --activations .* of 12/);
  }, 120_000);

  it('trains on a harvest, measures on its held-out documents, and can be put back into its model', async () => {
    const workspace = createWorkspace();
    try {
      const [acts, folder] = [workspace.newFolder(), workspace.newFolder()];
      const { model, corpus } = workspace;
      const text = ['--model', model, '--data', corpus];
      const hook = 'blocks.1.hook_resid_post';
      const harvested = await saekit([
        ...[
          'harvest',
          ...text,
          '--hooks',
          hook,
          '--out',
          acts,
          '--tokens',
          '4000',
          '--heldout-tokens',
          '700',
        ],
      ]);
      expect([harvested.status, harvested.stderr]).toEqual([0, '']);
      const trained = await saekit([
        ...['train', '--activations', acts, '--out', folder, '--latents', '128', '--k', '8', '--lr', '3e-3'],
        ...['--batch-tokens', '256', '--tokens', '10k', '--shuffle-tokens', '1024'],
      ]);
      expect([trained.status, trained.stderr]).toEqual([0, '']);
      const onHeldout = await saekit(['train', '--activations', `${acts}#heldout`, '--out', newFolder()]);
      expect([onHeldout.status, onHeldout.stderr]).toEqual([
        2,
        expect.stringMatching(/held-out rows, kept for evaluation/),
      ]);
      const relabelled = newFolder();
      const refused = await saekit([
        'train',
        '--activations',
        acts,
        '--hook',
        'hook_embed',
        '--out',
        relabelled,
      ]);
      expect([refused.status, refused.stderr]).toEqual([
        2,
        expect.stringMatching(/rows are of blocks\.1\.hook_resid_post, and --hook is hook_embed/),
      ]);
      expect(existsSync(relabelled)).toBe(false);
      const elsewhere = await saekit(['eval', folder, '--hook', 'hook_embed']);
      expect([elsewhere.status, elsewhere.stderr]).toEqual([
        2,
        expect.stringMatching(/give --model and --data/),
      ]);
      const { provenance, resolved } = await readRun(folder);
      expect(provenance.activations).toMatchObject({ hook, format: 'saekit activations' });
      expect(resolved.hook).toBe(hook);
      const stored = evaluation(folder);
      expect(stored.rows).toBeGreaterThanOrEqual(700);
      expect((await saekit(['eval', folder, ...text, '--max-tokens', '2000'])).status).toBe(0);
      const inModel = evaluation(folder);
      expect(inModel.candidates[0]!.deltaCe.value).not.toBeNull();
      // Other rows of the same held-out text, stored as bfloat16: nearly the same number.
      expect(inModel.candidates[0]!.fvu.value! / stored.candidates[0]!.fvu.value!).toBeCloseTo(1, 0);
    } finally {
      workspace.remove();
    }
  }, 120_000);
});
