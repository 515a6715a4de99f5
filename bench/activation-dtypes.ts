/**
 * `npm run bench -- --activations [--tokens N] [--held-out N] [--seeds N]`
 *
 * What storing activations in fewer bits costs, on the bundled model. Rows are harvested once in float32 and stored again in every dtype, then
 *
 *     noise       Σ ‖x − x_s‖² / Σ ‖x − x̄‖²            x row, x_s the same row as it is read back, x̄ mean row
 *     fvu         Σ ‖x_s − x̂(x_s)‖² / Σ ‖x_s − x̄_s‖²   the shipped SAE on held-out rows as they are stored
 *     trained     FVU on float32 held-out rows of an SAE trained on stored rows, per seed; same seeds, same order of rows
 *
 * One JSON line per dtype; everything is kept in bench/results/activation-dtypes-<date>.json.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import '../src/platform/node.ts';
import { createScatter, squaredError } from '../src/eval/fvu.ts';
import { createStoredStream } from '../src/harvest/index.ts';
import { openModel } from '../src/models/index.ts';
import { loadSae } from '../src/sae/index.ts';
import { type ActivationDtype, activationDtypes } from '../src/shared/activations.ts';
import { trainConfigSchema } from '../src/shared/config.ts';
import { harvestConfigSchema } from '../src/shared/harvest.ts';
import {
  type ActivationSource,
  createShardWriter,
  openActivations,
  readActivationsManifest,
  storedBytesPerRow,
} from '../src/store/index.ts';
import { createTrainer } from '../src/train/index.ts';
import { harvest, planTraining } from '../src/workflows/index.ts';
import { LATE as hook } from '../test/support/demo.ts';
import { blocksOf, measureOn, sumOf } from './lib/rows.ts';

const { values: flags } = parseArgs({
  options: {
    tokens: { type: 'string', default: '262144' },
    'held-out': { type: 'string', default: '65536' },
    seeds: { type: 'string', default: '3' },
  },
});
const [F, K, B, lr] = [2048, 32, 4096, 3e-3];
const steps = Math.floor(Number(flags.tokens) / B);
const seeds = Array.from({ length: Number(flags.seeds) }, (_, seed) => seed);
const demo = (path: string) => fileURLToPath(new URL(`../demo/${path}`, import.meta.url));
const progress = (line: string) => process.stderr.write(`activations: ${line}\n`);

const scratch = mkdtempSync(join(tmpdir(), 'saekit-dtypes-'));
try {
  progress(`harvesting ${steps * B} rows and ${flags['held-out']} held-out ones at ${hook}`);
  const first = join(scratch, 'f32');
  await harvest(
    harvestConfigSchema.parse({
      ...{ model: demo('model'), hooks: [hook], dtype: 'f32' },
      ...{ data: [demo('corpus/train.jsonl.gz')], heldout: [demo('corpus/heldout.jsonl.gz')] },
      ...{ tokens: steps * B, heldoutTokens: Number(flags['held-out']) },
    }),
    { folder: first },
  );
  const model = await openModel(demo('model'));
  await model.close();
  const { trainer: recipe } = planTraining(
    trainConfigSchema.parse({ model: '-', data: ['-'], hook, latents: F, k: K, tokens: steps * B, lr }),
    model,
    { cores: 2, folder: '-' },
  );
  const shipped = await loadSae(demo(`saes/${hook}`));
  const exact = await openActivations(join(first, 'heldout'));
  const figures = [];
  for (const dtype of activationDtypes) {
    const folder = join(scratch, dtype);
    if (dtype !== 'f32')
      for (const part of ['', 'heldout']) await storeAgain(join(first, part), join(folder, part), dtype);
    const [train, heldout] = await Promise.all(
      ['', 'heldout'].map((part) => openActivations(join(folder, part))),
    );
    const trained: number[] = [];
    for (const seed of seeds) {
      const stream = createStoredStream({ source: train!, seed });
      const trainer = await createTrainer({ ...recipe, seed });
      const batches = Math.ceil(8192 / B);
      const start = new Float32Array(batches * B * train!.D);
      for (let i = 0; i < batches; i++) start.set((await stream.next(B))!.x, i * B * train!.D);
      await trainer.initialize(start);
      for (let i = 0; i < steps; i++) await trainer.train((await stream.next(B))!.x);
      trained.push((await measureOn(await trainer.exportSae(), exact)).fvu);
      await trainer.close();
      await stream.close();
      progress(
        `${dtype}, seed ${seed}: trained on stored rows, FVU ${trained.at(-1)!.toFixed(5)} on float32 rows`,
      );
    }
    const figure = {
      name: `activations.dtype.${dtype}`,
      bytesPerRow: storedBytesPerRow(exact.D, dtype),
      noise: await noiseOf(exact, heldout!),
      fvu: (await measureOn(shipped, heldout!)).fvu,
      trained,
    };
    console.log(JSON.stringify(figure));
    figures.push(figure);
    await train!.close();
    await heldout!.close();
  }
  await exact.close();
  keep(figures);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

/** The same rows in another dtype, by the writer that harvest uses. */
async function storeAgain(from: string, to: string, dtype: ActivationDtype): Promise<void> {
  const { origin } = (await readActivationsManifest(from))!;
  const source = await openActivations(from);
  const writer = await createShardWriter(to, { ...origin, dtype }, { saekit: 'bench' });
  const place = { cursor: { epoch: 0, position: 0, offset: 0, fingerprint: '' }, skip: 0 };
  for await (const { x, start, count } of blocksOf(source)) {
    const tokens = await source.readTokens!(start, count);
    const [documents, positions] = [new Int32Array(count), new Int32Array(count)];
    await writer.append(start, { x, tokens, documents, positions }, place);
  }
  await writer.finish(place);
  await source.close();
}

async function noiseOf(exact: ActivationSource, stored: ActivationSource): Promise<number> {
  const scatter = createScatter(exact.D);
  let error = 0;
  for await (const { x, start, count } of blocksOf(exact)) {
    const read = new Float32Array(x.length);
    await stored.read(start, count, read);
    scatter.add(x, new Int32Array(count), count);
    for (let r = 0; r < count; r++) error += squaredError(x, read, r, exact.D);
  }
  return error / sumOf(scatter.perUnit());
}

function keep(figures: readonly unknown[]): void {
  const folder = fileURLToPath(new URL('./results/', import.meta.url));
  mkdirSync(folder, { recursive: true });
  const date = new Date().toISOString().slice(0, 10);
  const setup = {
    ...{ model: 'demo/model', sae: `demo/saes/${hook}`, hook, heldoutRows: Number(flags['held-out']) },
    trained: { F, K, B, steps, lr, seeds },
  };
  writeFileSync(
    join(folder, `activation-dtypes-${date}.json`),
    `${JSON.stringify({ setup, figures }, null, 1)}\n`,
  );
}
