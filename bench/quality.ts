/**
 * `npm run bench -- --quality [--python PATH] [--tokens N] [--seeds N] [--lr X]`
 *
 * Our TopK trainer and sae-lens's, with the same learning rate, warm-up and decay and otherwise each with its own defaults, on the very
 * same activations of the bundled model, then all of
 * them and PCA with K components in one evaluation of the same held-out text. One JSON line per figure; everything is kept in
 * bench/results/quality-<date>.json. Also: 30 % planted dead latents, and how many AuxK brings back.
 */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import '../src/platform/node.ts';
import { openCorpus, type PackedRows, packRows } from '../src/data/index.ts';
import {
  type Candidate,
  createMoments,
  evaluate,
  fitPca,
  formatEvalTable,
  pcaCandidate,
  saeCandidate,
} from '../src/eval/index.ts';
import { writeSafetensors } from '../src/formats/index.ts';
import { createActivationStream } from '../src/harvest/index.ts';
import { openModel } from '../src/models/index.ts';
import { decode, encode, loadSae, type Sae } from '../src/sae/index.ts';
import { trainConfigSchema } from '../src/shared/config.ts';
import type { EvalResult } from '../src/shared/eval.ts';
import { createTrainer, type TrainerConfig } from '../src/train/index.ts';
import { planTraining } from '../src/workflows/plan.ts';
import { findPython } from './lib/peer.ts';

const { values: flags } = parseArgs({
  options: {
    python: { type: 'string' },
    tokens: { type: 'string', default: '1048576' },
    seeds: { type: 'string', default: '3' },
    'held-out': { type: 'string', default: '65536' },
    lr: { type: 'string', default: '1e-3' },
  },
});
const [F, K, B] = [4096, 32, 4096];
const seeds = Array.from({ length: Number(flags.seeds) }, (_, seed) => seed);
const steps = Math.floor(Number(flags.tokens) / B);
const demo = (path: string) => fileURLToPath(new URL(`../demo/${path}`, import.meta.url));
const progress = (line: string) => process.stderr.write(`quality: ${line}\n`);

const found = findPython(flags.python);
if ('reason' in found) progress(`without sae-lens: ${found.reason}`);
const model = await openModel(demo('model'));
const corpus = await openCorpus({
  data: [demo('corpus/train.jsonl.gz')],
  heldout: [demo('corpus/heldout.jsonl.gz')],
});
const config = trainConfigSchema.parse({
  model: demo('model'),
  data: ['-'],
  latents: F,
  k: K,
  tokens: steps * B,
});
const plan = planTraining(config, model, { cores: 2, folder: '-' });
const { hook, contextLength } = plan.settings;
const recipe: TrainerConfig = { ...plan.trainer, lr: Number(flags.lr) };
const rows = (heldout: boolean) =>
  packRows({
    documents: heldout ? corpus.heldout : corpus.train,
    tokenizer: model.tokenizer!,
    contextLength,
    bosTokenId: model.info.bosTokenId,
    seed: 'quality',
    endless: !heldout,
  });

const scratch = mkdtempSync(join(tmpdir(), 'saekit-quality-'));
try {
  progress(`harvesting ${steps * B} rows at ${hook}`);
  const stream = createActivationStream({
    model,
    hook,
    rows: rows(false),
    shuffleTokens: 131_072,
    seed: 'quality',
  });
  const D = stream.D;
  const x = new Float32Array(steps * B * D);
  for (let i = 0; i < steps; i++) x.set((await stream.next(B))!.x, i * B * D);
  await stream.close();
  const batch = (i: number) => x.subarray(i * B * D, (i + 1) * B * D);
  const moments = createMoments(D);
  for (let i = 0; i < Math.min(16, steps); i++) moments.add(batch(i), B);

  const ours: Sae[] = [];
  for (const seed of seeds) ours.push(await train({ ...recipe, seed }, batch));
  const theirs = 'python' in found ? await trainSaeLens(found.python, x, D) : [];

  progress('evaluating');
  const functions = { encode: (sae: Sae, rows: Float32Array) => encode(sae, rows), decode };
  const candidates: Candidate[] = [
    ...ours.map((sae, i) => saeCandidate(`saekit ${i}`, sae, functions)),
    ...theirs.map((sae, i) => saeCandidate(`sae-lens ${i}`, sae, functions, 'control')),
    pcaCandidate(await fitPca(moments, K)),
  ];
  const heldout = rows(true);
  const batches = (async function* (): AsyncGenerator<PackedRows> {
    for (let packed = await heldout.next(16); packed; packed = await heldout.next(16)) yield packed;
  })();
  const result = await evaluate({
    ...{ model, hook, batches, candidates, mean: moments.mean() },
    specialIds: model.tokenizer!.specialIds,
    maxRows: Number(flags['held-out']),
    ceTokens: 32_768,
    klTokens: 0,
  });
  process.stderr.write(`${formatEvalTable(result)}\n`);
  const revived = await revive(recipe, batch);
  report(result, revived);
} finally {
  rmSync(scratch, { recursive: true, force: true });
  await model.close();
}

/** Our trainer with the product's defaults on the harvested batches, in their order. */
async function train(config: TrainerConfig, batch: (i: number) => Float32Array): Promise<Sae> {
  const trainer = await createTrainer(config);
  await trainer.initialize(batch(0).slice());
  const start = performance.now();
  for (let i = 0; i < config.totalSteps; i++) await trainer.train(batch(i));
  const seconds = (performance.now() - start) / 1000;
  progress(
    `saekit seed ${config.seed}: ${config.totalSteps} steps, ${Math.round((config.totalSteps * B) / seconds)} tokens/s`,
  );
  const sae = await trainer.exportSae({ hook_name: hook });
  await trainer.close();
  return sae;
}

/** sae-lens's trainer on the same rows: a file of activations in, an SAE folder out, one process per seed. */
async function trainSaeLens(python: string, x: Float32Array, D: number): Promise<Sae[]> {
  const data = join(scratch, 'activations.safetensors');
  const out = createWriteStream(data);
  for (const chunk of writeSafetensors({ x: { dtype: 'F32', shape: [x.length / D, D], data: x } }))
    if (!out.write(chunk)) await once(out, 'drain');
  await new Promise((resolve) => out.end(resolve));
  const script = fileURLToPath(new URL('./peers/quality_saelens.py', import.meta.url));
  const saes: Sae[] = [];
  for (const seed of seeds) {
    const folder = join(scratch, `sae-lens-${seed}`);
    // Its script holds one batch back for a figure of its own.
    const { warmupSteps: warmup, decaySteps: decay } = recipe;
    const args = { data, F, K, B, steps, seed, lr: flags.lr, warmup, decay, heldout: B, out: folder };
    const list = Object.entries(args).flatMap(([name, value]) => [`--${name}`, String(value)]);
    const run = spawnSync(python, [script, ...list], { encoding: 'utf8', maxBuffer: 2 ** 26 });
    if (run.status !== 0)
      throw new Error(`quality_saelens.py failed: ${run.stderr.trim().split('\n').at(-1)}`);
    progress(`sae-lens seed ${seed}: ${run.stdout.trim().split('\n').at(-1)}`);
    saes.push(await loadSae(folder));
  }
  return saes;
}

/** The share of planted dead latents (30 %, encoder rows too short to reach the top K) that fire again after the run. */
async function revive(config: TrainerConfig, batch: (i: number) => Float32Array): Promise<number> {
  const trainer = await createTrainer(config);
  await trainer.initialize(batch(0).slice());
  const state = await trainer.state();
  const planted = Array.from({ length: Math.floor(0.3 * F) }, (_, i) => i * 3);
  const W = state.get('W_enc')!;
  for (const i of planted) {
    for (let j = i * config.D; j < (i + 1) * config.D; j++) W[j]! *= 0.01;
    state.get('sinceFired')![i] = config.deadSteps;
  }
  await trainer.restore(state);
  for (let i = 0; i < config.totalSteps; i++) await trainer.train(batch(i));
  const since = (await trainer.state()).get('sinceFired')!;
  await trainer.close();
  return planted.filter((i) => since[i]! < config.deadSteps).length / planted.length;
}

/** Prints a line per figure and keeps the whole in bench/results. */
function report(result: EvalResult, revived: number): void {
  const named = (prefix: string) => result.candidates.filter(({ name }) => name.startsWith(prefix));
  const values = (prefix: string, metric: 'fvu' | 'deltaCe') => named(prefix).map((c) => c[metric].value!);
  const worst = (list: number[]) => Math.max(...list);
  const mean = (list: number[]) => list.reduce((a, b) => a + b, 0) / list.length;
  const ourFvu = named('saekit').map((c) => c.fvu);
  const theirFvu = named('sae-lens').map((c) => c.fvu);
  const pcaDelta = values('PCA', 'deltaCe')[0]!;
  const lines = [
    theirFvu.length > 0 && {
      name: 'quality.fvu_vs_saelens',
      ours: values('saekit', 'fvu'),
      baseline: values('sae-lens', 'fvu'),
      target: 'not worse outside the interval',
      // The mean over seeds; worse only if our whole interval lies above all of theirs.
      holds: mean(ourFvu.map(({ low }) => low!)) <= mean(theirFvu.map(({ high }) => high!)),
    },
    {
      name: 'quality.delta_ce',
      ours: values('saekit', 'deltaCe'),
      target: '<= 0.10 nats',
      holds: worst(values('saekit', 'deltaCe')) <= 0.1,
    },
    {
      name: 'quality.delta_ce_vs_pca',
      ours: values('saekit', 'deltaCe'),
      baseline: pcaDelta,
      ratio: worst(values('saekit', 'deltaCe')) / pcaDelta,
      target: '<= 0.5',
      holds: worst(values('saekit', 'deltaCe')) / pcaDelta <= 0.5,
    },
    { name: 'quality.revived', ours: revived, target: '>= 0.8', holds: revived >= 0.8 },
  ].filter((line) => line !== false);
  for (const line of lines) console.log(JSON.stringify(line));
  const folder = fileURLToPath(new URL('./results/', import.meta.url));
  mkdirSync(folder, { recursive: true });
  const date = new Date().toISOString().slice(0, 10);
  const setup = {
    model: 'demo/model',
    modelHash: model.info.hash,
    hook,
    F,
    K,
    B,
    steps,
    seeds,
    lr: recipe.lr,
    warmupSteps: recipe.warmupSteps,
    decaySteps: recipe.decaySteps,
  };
  writeFileSync(
    join(folder, `quality-${date}.json`),
    `${JSON.stringify({ setup, figures: lines, evaluation: { ...result, model: { ...result.model, name: 'demo/model' } } }, null, 1)}\n`,
  );
}
