/**
 * Two trainers on the same rows of activations, and the learning rate that suits each.
 *
 *     rows        [N + V, D] in one safetensors file: N to train on in their order, V to choose the learning rate by
 *     a choice    every rate of a list once with the first seed; the lowest FVU on the V rows wins
 *
 * The held-out text of the evaluation plays no part in the choice.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadSae, type Sae } from '../../src/sae/index.ts';
import type { ActivationSource } from '../../src/store/index.ts';
import { createTrainer, type TrainerConfig } from '../../src/train/index.ts';
import { measureOn } from './rows.ts';

/** One run of a sweep: its rate, what it reached on the V rows, and the share of latents that never fired there. */
export type Tried = { readonly lr: number; readonly fvu: number; readonly dead: number };
export type Chosen = { readonly lr: number; readonly tried: readonly Tried[]; readonly saes: Sae[] };

export type QualitySetup = {
  readonly source: ActivationSource;
  /** The file of `source`. */
  readonly file: string;
  /** V */
  readonly validation: number;
  readonly seeds: readonly number[];
  readonly progress: (line: string) => void;
};

/** Ours: `recipe` with each of the rates, then the best rate with every seed. */
export async function trainOurs(
  recipe: TrainerConfig,
  lrs: readonly number[],
  setup: QualitySetup,
): Promise<Chosen> {
  const { source, validation, seeds, progress } = setup;
  const tried: Tried[] = [];
  let best: { tried: Tried; sae: Sae } | undefined;
  for (const lr of lrs) {
    const sae = await trainOne({ ...recipe, lr, seed: seeds[0]! }, setup);
    const result = { lr, ...(await measureOn(sae, source, source.rows - validation)) };
    progress(`saekit lr ${lr}: FVU ${result.fvu.toFixed(4)}, dead ${(100 * result.dead).toFixed(1)} %`);
    tried.push(result);
    if (!best || result.fvu < best.tried.fvu) best = { tried: result, sae };
  }
  const { lr } = best!.tried;
  const saes = [best!.sae];
  for (const seed of seeds.slice(1)) saes.push(await trainOne({ ...recipe, lr, seed }, setup));
  return { lr, tried, saes };
}

async function trainOne(config: TrainerConfig, { source, progress }: QualitySetup): Promise<Sae> {
  const { B, D, totalSteps } = config;
  const trainer = await createTrainer(config);
  const x = new Float32Array(B * D);
  await source.read(0, B, x);
  await trainer.initialize(x.slice());
  const start = performance.now();
  for (let i = 0; i < totalSteps; i++) {
    await source.read(i * B, B, x);
    await trainer.train(x);
  }
  const seconds = (performance.now() - start) / 1000;
  progress(`saekit seed ${config.seed}, lr ${config.lr}: ${Math.round((totalSteps * B) / seconds)} tokens/s`);
  const sae = await trainer.exportSae({});
  await trainer.close();
  return sae;
}

/** sae-lens's trainer: one process per seed, the sweep in the first. Its script trains on all but the last V rows. */
export async function trainSaeLens(
  python: string,
  recipe: TrainerConfig,
  lrs: readonly number[],
  scratch: string,
  { file, validation, seeds, progress }: QualitySetup,
): Promise<Chosen> {
  const script = fileURLToPath(new URL('../peers/quality_saelens.py', import.meta.url));
  const { F, K, B, totalSteps: steps, warmupSteps: warmup, decaySteps: decay } = recipe;
  const saes: Sae[] = [];
  let tried: Tried[] = [];
  let chosen: number | undefined;
  for (const seed of seeds) {
    const out = join(scratch, `sae-lens-${seed}`);
    const lr = chosen ?? lrs.join(',');
    const args = { data: file, F, K, B, steps, seed, lr, warmup, decay, heldout: validation, out };
    const list = Object.entries(args).flatMap(([name, value]) => [`--${name}`, String(value)]);
    const run = spawnSync(python, [script, ...list], { encoding: 'utf8', maxBuffer: 2 ** 26 });
    if (run.status !== 0)
      throw new Error(`quality_saelens.py failed: ${run.stderr.trim().split('\n').at(-1)}`);
    const line = run.stdout.trim().split('\n').at(-1)!;
    progress(`sae-lens seed ${seed}: ${line}`);
    const result = JSON.parse(line) as { lr: number; all: { lr: number; fvu: number; dead: number }[] };
    if (chosen === undefined) {
      chosen = result.lr;
      tried = result.all.map(({ lr, fvu, dead }) => ({ lr, fvu, dead: dead / F }));
    }
    saes.push(await loadSae(out));
  }
  return { lr: chosen!, tried, saes };
}
