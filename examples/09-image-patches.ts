// No language model: images. Every patch of 8 x 8 pixels is a sum of a few bars and some noise. An SAE trained on a file of them finds the
// bars; PCA, the control, finds mixtures.
//   npx tsx examples/09-image-patches.ts
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  createMoments,
  createTrainer,
  evaluateRows,
  fitPca,
  openActivations,
  pcaCandidate,
  saeCandidate,
} from 'saekit';

const [SIDE, K, N, trainRows] = [8, 4, 22_000, 20_000];
const D = SIDE * SIDE;
const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
let state = 1;
const uniform = (): number => (state = (state * 48271) % 2147483647) / 2147483647;

// What there is to find: 8 rows and 8 columns of pixels. A patch has each of them with probability 1/8.
const bars = range(2 * SIDE).map((bar) =>
  range(D).map((i) => Number((bar < SIDE ? Math.floor(i / SIDE) : SIDE + (i % SIDE)) === bar)),
);
const patches = new Float32Array(N * D);
for (let n = 0; n < N; n++) {
  const on = bars.flatMap((bar) => (uniform() < 1 / 8 ? [{ bar, brightness: 0.5 + uniform() }] : []));
  for (let i = 0; i < D; i++)
    patches[n * D + i] = on.reduce(
      (sum, { bar, brightness }) => sum + brightness * (bar[i] ?? 0),
      0.2 * (uniform() - 0.5),
    );
}
// As numpy writes it: np.save(path, patches). From here on nothing knows about images; any file of rows will do (docs/activations.md).
const path = join(await mkdtemp(join(tmpdir(), 'saekit-')), 'patches.npy');
const header = `{'descr': '<f4', 'fortran_order': False, 'shape': (${N}, ${D}), }`.padEnd(117);
await writeFile(path, [
  Buffer.from(`\x93NUMPY\x01\0v\0${header}\n`, 'latin1'),
  new Uint8Array(patches.buffer),
]);

const source = await openActivations(path);
console.log(`${source.format}: ${source.rows} rows of ${source.D}`);
const all = new Float32Array(source.rows * source.D);
await source.read(0, source.rows, all);
await source.close();
const rows = (start: number, count: number): Float32Array => all.subarray(start * D, (start + count) * D);

const [B, totalSteps] = [500, 600];
const trainer = await createTrainer({
  ...{ D: source.D, F: 32, K, B, totalSteps, lr: 3e-3, warmupSteps: 20, decaySteps: 150 },
  ...{ adam: { beta1: 0.9, beta2: 0.999, eps: 1e-8 }, auxk: 16, auxkCoefficient: 1 / 32, deadSteps: 20 },
  ...{ freeze: 'none', seed: 0, shards: 8, workers: 0 },
});
await trainer.initialize(rows(0, 4000));
for (let step = 0; step < totalSteps; step++) await trainer.train(rows((step * B) % trainRows, B));
const sae = await trainer.exportSae();
await trainer.close();

const moments = createMoments(D);
await moments.add(rows(0, trainRows), trainRows);
const held = {
  x: rows(trainRows, N - trainRows),
  tokens: new Int32Array(N - trainRows).fill(-1),
  blocks: Int32Array.from(range(N - trainRows)),
};
const { candidates } = await evaluateRows({
  ...{ model: { name: 'patches', hash: '' }, hook: 'pixels', D, batches: [held] },
  candidates: [saeCandidate('SAE', sae), pcaCandidate(fitPca(moments, K))],
});

/** How many bars some direction [D] of many points along, cosine above 0.9. */
function found(directions: ArrayLike<number>): number {
  const along = (bar: readonly number[], f: number): number => {
    const row = range(D).map((i) => directions[f * D + i] ?? 0);
    return (
      Math.abs(row.reduce((sum, v, i) => sum + v * (bar[i] ?? 0), 0)) / (Math.hypot(...row) * Math.sqrt(SIDE))
    );
  };
  return bars.filter((bar) => range(directions.length / D).some((f) => along(bar, f) > 0.9)).length;
}
console.log(`\n        FVU    bars found of ${bars.length}`);
for (const [c, directions] of [sae.W_dec, fitPca(moments, D).components].entries()) {
  const { name, fvu } = candidates[c] as (typeof candidates)[0];
  console.log(`${name.padEnd(7)} ${fvu.value?.toFixed(3)}  ${found(directions)}`);
}
// The directions of the first latents that have found something, as pictures.
const pixels = (f: number, y: number): Float32Array =>
  sae.W_dec.subarray(f * D + y * SIDE, f * D + (y + 1) * SIDE);
const shown = range(32).filter((f) => range(SIDE).some((y) => Math.max(...pixels(f, y)) > 0.3));
for (const y of range(SIDE))
  console.log(
    shown
      .slice(0, 8)
      .map((f) => [...pixels(f, y)].map((v) => (v > 0.15 ? '█' : '·')).join(''))
      .join('  '),
  );
