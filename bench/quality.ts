/**
 * `npm run bench -- --quality [--python PATH] [--tokens N] [--seeds N] [--held-out N] [--recipe NAME] [--lr A,B,…] [--peer-lr A,B,…] [--rows FILE]`
 *
 * Our TopK trainer and sae-lens's on the very same activations of the bundled model, then all of them and PCA with K components in one
 * evaluation of the same held-out text. Equal learning rates are not equal steps (their decoder starts at norm 0.1, ours stays at 1), so
 * each trainer first tries every rate of its list with seed 0 and takes the one with the lowest FVU on rows that nobody trains on and that
 * are no part of the evaluation; the other seeds run at that rate. Warm-up and decay are those of our recipe for both.
 * `--rows` keeps the harvested rows in a file, or takes them from it. One JSON line per figure; everything is kept in
 * bench/results/quality-<date>.json. Also: 30 % planted dead latents, and how many AuxK brings back.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
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
import { decode, encode, type Sae } from '../src/sae/index.ts';
import { trainConfigSchema } from '../src/shared/config.ts';
import type { EvalResult } from '../src/shared/eval.ts';
import { openActivations } from '../src/store/index.ts';
import { createTrainer, type TrainerConfig } from '../src/train/index.ts';
import { planTraining } from '../src/workflows/plan.ts';
import { findPython } from './lib/peer.ts';
import { type Chosen, trainOurs, trainSaeLens } from './lib/quality-trainers.ts';

const { values: flags } = parseArgs({
  options: {
    python: { type: 'string' },
    tokens: { type: 'string', default: '1048576' },
    seeds: { type: 'string', default: '3' },
    'held-out': { type: 'string', default: '65536' },
    recipe: { type: 'string', default: 'short' },
    lr: { type: 'string' },
    'peer-lr': { type: 'string', default: '3e-3,6e-3,1e-2' },
    rows: { type: 'string' },
  },
});
const [F, K, B, V] = [4096, 32, 4096, 65_536];
const seeds = Array.from({ length: Number(flags.seeds) }, (_, seed) => seed);
const steps = Math.floor(Number(flags.tokens) / B);
const rates = (list: string): number[] => list.split(',').map(Number);
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
  ...{ model: demo('model'), data: ['-'], recipe: flags.recipe, latents: F, k: K, tokens: steps * B },
});
const plan = planTraining(config, model, { cores: 2, folder: '-' });
const { hook, contextLength } = plan.settings;
const recipe: TrainerConfig = plan.trainer;
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
  const file = flags.rows ?? join(scratch, 'rows.safetensors');
  if (!existsSync(file)) await harvest(file);
  const source = await openActivations(file);
  if (source.rows !== steps * B + V)
    throw new Error(
      `${file} has ${source.rows} rows, this run needs ${steps * B + V}: ${steps * B} to train on and ${V} to choose by. Use another --rows or --tokens.`,
    );
  const moments = createMoments(source.D);
  const x = new Float32Array(B * source.D);
  for (let i = 0; i < Math.min(16, steps); i++) {
    await source.read(i * B, B, x);
    await moments.add(x, B);
  }

  const setup = { source, file, validation: V, seeds, progress };
  const ours = await trainOurs(recipe, flags.lr ? rates(flags.lr) : [recipe.lr], setup);
  const theirs =
    'python' in found
      ? await trainSaeLens(found.python, recipe, rates(flags['peer-lr']), scratch, setup)
      : undefined;

  progress('evaluating');
  const functions = { encode: (sae: Sae, rows: Float32Array) => encode(sae, rows), decode };
  const candidates: Candidate[] = [
    ...ours.saes.map((sae, i) => saeCandidate(`saekit ${i}`, sae, functions)),
    ...(theirs?.saes ?? []).map((sae, i) => saeCandidate(`sae-lens ${i}`, sae, functions, 'control')),
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
  const revived = await revive({ ...recipe, lr: ours.lr }, async (i) => {
    await source.read(i * B, B, x);
    return x;
  });
  await source.close();
  report(result, revived, ours, theirs);
} finally {
  rmSync(scratch, { recursive: true, force: true });
  await model.close();
}

/** Rows to train on, then V to choose a learning rate by, in one file that both trainers read. */
async function harvest(file: string): Promise<void> {
  progress(`harvesting ${steps * B + V} rows at ${hook}`);
  const stream = createActivationStream({
    ...{ model, hook, rows: rows(false), shuffleTokens: 131_072, seed: 'quality' },
  });
  const { D } = stream;
  const data = new Float32Array((steps * B + V) * D);
  for (let at = 0; at < data.length; at += B * D) data.set((await stream.next(B))!.x, at);
  await stream.close();
  const out = await open(file, 'wx');
  for (const chunk of writeSafetensors({ x: { dtype: 'F32', shape: [data.length / D, D], data } }))
    await out.writeFile(chunk);
  await out.close();
}

/** The share of planted dead latents (30 %, encoder rows too short to reach the top K) that fire again after the run. */
async function revive(config: TrainerConfig, batch: (i: number) => Promise<Float32Array>): Promise<number> {
  const trainer = await createTrainer(config);
  await trainer.initialize((await batch(0)).slice());
  const state = await trainer.state();
  const planted = Array.from({ length: Math.floor(0.3 * F) }, (_, i) => i * 3);
  const W = state.get('W_enc')!;
  for (const i of planted) {
    for (let j = i * config.D; j < (i + 1) * config.D; j++) W[j]! *= 0.01;
    state.get('sinceFired')![i] = config.deadSteps;
  }
  await trainer.restore(state);
  for (let i = 0; i < config.totalSteps; i++) await trainer.train(await batch(i));
  const since = (await trainer.state()).get('sinceFired')!;
  await trainer.close();
  return planted.filter((i) => since[i]! < config.deadSteps).length / planted.length;
}

/** Prints a line per figure and keeps the whole in bench/results. */
function report(result: EvalResult, revived: number, ours: Chosen, theirs: Chosen | undefined): void {
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
    {
      name: 'quality.dead',
      ours: named('saekit').map((c) => c.latents!.deadShare.value),
      baseline: named('sae-lens').map((c) => c.latents!.deadShare.value),
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
    recipe: flags.recipe,
    warmupSteps: recipe.warmupSteps,
    decaySteps: recipe.decaySteps,
    beta2: recipe.adam.beta2,
    encoderLrScale: recipe.encoderLrScale,
    validationRows: V,
    saekit: { lr: ours.lr, tried: ours.tried },
    'sae-lens': theirs && { lr: theirs.lr, tried: theirs.tried },
  };
  writeFileSync(
    join(folder, `quality-${date}.json`),
    `${JSON.stringify({ setup, figures: lines, evaluation: { ...result, model: { ...result.model, name: 'demo/model' } } }, null, 1)}\n`,
  );
}
