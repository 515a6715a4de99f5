/**
 * `npm run bench -- --tables [--quick]`
 *
 *     tables.query    one latent with its evidence (row, examples with context, groups, activations) out of synthetic tables of 131,072 latents
 *                     and 50 million activations: 95th percentile over 300 latents drawn, by tokens that fire (dense ones come more often)
 *     tables.open     until the first such answer, everything cold in this process
 *     index.rate      tokens per second of the reading pass of `saekit index` (places in the text, codes, blocks on disk) over those of the bare
 *                     model, in turns, on the bundled model
 *
 * Kept in bench/results/tables-<date>.json; `--quick`: 8,192 latents, 1 million activations, printed only. Status 1 when a target is missed.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import '../src/platform/node.ts';
import { packRows } from '../src/data/index.ts';
import { createRowReader } from '../src/eval/index.ts';
import { loadSae, openCorpus, openModel } from '../src/index.ts';
import { createRng } from '../src/shared/rng.ts';
import { openBlocks, openFeatureTables } from '../src/store/index.ts';
import { collect } from '../src/workflows/feature-tables/collect.ts';
import { latentsOf } from '../src/workflows/feature-tables/subject.ts';
import { LATE as HOOK } from '../test/support/demo.ts';
import { quantile } from './lib/quantile.ts';
import { writeSyntheticTables } from './lib/synthetic-tables.ts';

const { values: flags } = parseArgs({ options: { quick: { type: 'boolean', default: false } } });
const [F, activations] = flags.quick ? [8192, 1e6] : [131_072, 50e6];
const QUERIES = flags.quick ? 50 : 300;
const work = mkdtempSync(join(tmpdir(), 'saekit-tables-'));

async function queries() {
  const counts = await writeSyntheticTables(work, { F, activations });
  const rng = createRng('queries');
  const ends = new Float64Array(counts.length);
  counts.reduce((sum, n, i) => (ends[i] = sum + n), 0);
  const drawn = Array.from({ length: QUERIES }, () => {
    const place = rng.uniform() * ends.at(-1)!;
    let [low, high] = [0, ends.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (ends[middle]! <= place) low = middle + 1;
      else high = middle;
    }
    return low;
  });
  const opened = performance.now();
  const tables = await openFeatureTables(work);
  const look = async (latent: number): Promise<number> => {
    const began = performance.now();
    const [, examples] = await Promise.all([
      tables.latent(latent),
      tables.examples(latent),
      tables.groups(latent),
      tables.activations(latent),
    ]);
    for (const { at } of examples.slice(0, 12)) await tables.text(at - 16, at + 9);
    return performance.now() - began;
  };
  await look(drawn[0]!);
  const first = performance.now() - opened;
  const times: number[] = [];
  for (const latent of drawn.slice(1)) times.push(await look(latent));
  await tables.close();
  return { first, p50: quantile(times, 0.5), p95: quantile(times, 0.95) };
}

async function rate() {
  const demo = fileURLToPath(new URL('../demo/', import.meta.url));
  const model = await openModel(join(demo, 'model'));
  const corpus = await openCorpus({
    data: [join(demo, 'corpus', 'heldout.jsonl.gz')],
    heldout: [join(demo, 'corpus', 'heldout.jsonl.gz')],
  });
  const subject = await latentsOf(await loadSae(join(demo, 'saes', HOOK)));
  const tokens = flags.quick ? 8192 : 65_536;
  const rowsFrom = (seed: number, offsets: boolean) =>
    packRows({
      ...{ documents: corpus.heldout, tokenizer: model.tokenizer!, contextLength: 256, endless: true },
      ...{ bosTokenId: model.info.bosTokenId, seed, offsets },
    });
  const rates: { bare: number[]; index: number[] } = { bare: [], index: [] };
  for (let round = 0; round < (flags.quick ? 2 : 5); round++) {
    let began = performance.now();
    const rows = rowsFrom(round, false);
    for (let n = 0; n < tokens; ) {
      const { ids, mask, R, T } = (await rows.next(8))!;
      await model.run({ ids, mask, B: R, T }, { hooks: [HOOK] });
      n += R * T;
    }
    rates.bare.push((1000 * tokens) / (performance.now() - began));
    began = performance.now();
    const blocks = await openBlocks(join(work, `blocks-${round}`), String(round));
    await collect({
      ...{ rows: rowsFrom(round, true), blocks, maxTokens: tokens },
      read: createRowReader({ model, hook: HOOK, encode: subject.encode }),
    });
    rates.index.push((1000 * tokens) / (performance.now() - began));
  }
  await subject.close();
  await corpus.close();
  await model.close();
  const middle = (values: readonly number[]): number => quantile(values, 0.5);
  return {
    bare: middle(rates.bare),
    index: middle(rates.index),
    ratio: middle(rates.index) / middle(rates.bare),
    rates,
  };
}

try {
  const asked = await queries();
  const read = await rate();
  const figures = [
    {
      name: 'tables.query',
      F,
      activations,
      p50_ms: asked.p50,
      p95_ms: asked.p95,
      target: 60,
      holds: asked.p95 < 60,
    },
    { name: 'tables.open', first_ms: asked.first },
    { name: 'index.rate', ...read, target: 0.7, holds: read.ratio >= 0.7 },
  ];
  for (const figure of figures) process.stdout.write(`${JSON.stringify(figure)}\n`);
  if (!flags.quick) {
    const folder = fileURLToPath(new URL('results/', import.meta.url));
    mkdirSync(folder, { recursive: true });
    writeFileSync(
      join(folder, `tables-${new Date().toISOString().slice(0, 10)}.json`),
      `${JSON.stringify(figures, null, 2)}\n`,
    );
  }
  if (figures.some((figure) => 'holds' in figure && !figure.holds)) process.exitCode = 1;
} finally {
  rmSync(work, { recursive: true, force: true });
}
