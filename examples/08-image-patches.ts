// No language model: images. Every patch of 8 x 8 pixels is a sum of a few bars and some noise; an SAE trained on the .npy file finds them.
//   npx tsx examples/08-image-patches.ts
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createMoments, createTrainer, decode, encode, fitPca, openActivations } from '../src/index.ts';

const SIDE = 8;
const D = SIDE * SIDE;
const K = 4;

let state = 1;
const uniform = (): number => (state = (state * 48271) % 2147483647) / 2147483647;

// What there is to find: 8 rows and 8 columns of pixels.
const bars = Array.from({ length: 2 * SIDE }, (_, bar) =>
  Array.from({ length: D }, (_, pixel) =>
    Number((bar < SIDE ? Math.floor(pixel / SIDE) : SIDE + (pixel % SIDE)) === bar),
  ),
);

/** N patches, written as numpy would: magic, header, numbers. In Python: np.save(path, patches). */
async function writePatches(path: string, N: number): Promise<void> {
  const x = new Float32Array(N * D);
  for (let n = 0; n < N; n++) {
    const patch = x.subarray(n * D, (n + 1) * D);
    for (let i = 0; i < D; i++) patch[i] = 0.2 * (uniform() - 0.5);
    for (const bar of bars) {
      if (uniform() > 1 / 8) continue;
      const brightness = 0.5 + uniform();
      for (let i = 0; i < D; i++) patch[i] = (patch[i] ?? 0) + brightness * (bar[i] ?? 0);
    }
  }
  const header = `{'descr': '<f4', 'fortran_order': False, 'shape': (${N}, ${D}), }`.padEnd(117);
  await writeFile(path, [
    Uint8Array.of(0x93, ...new TextEncoder().encode('NUMPY'), 1, 0, 118, 0),
    new TextEncoder().encode(`${header}\n`),
    new Uint8Array(x.buffer),
  ]);
}

const path = join(await mkdtemp(join(tmpdir(), 'saekit-')), 'patches.npy');
await writePatches(path, 22_000);

// From here on nothing knows about images. Any file of rows will do: docs/activations.md.
const source = await openActivations(path);
console.log(`${source.format}: ${source.rows} rows of ${source.D}`);
const read = async (start: number, count: number): Promise<Float32Array> => {
  const x = new Float32Array(count * source.D);
  await source.read(start, count, x);
  return x;
};
const B = 500;
const trainRows = 20_000;
const totalSteps = 600;
const trainer = await createTrainer({
  ...{ D: source.D, F: 32, K, B, totalSteps, lr: 3e-3, warmupSteps: 20, decaySteps: 150 },
  ...{ adam: { beta1: 0.9, beta2: 0.999, eps: 1e-8 }, auxk: 16, auxkCoefficient: 1 / 32, deadSteps: 20 },
  ...{ freeze: 'none', seed: 0, shards: 8, workers: 0 },
});
await trainer.initialize(await read(0, 4000));
for (let step = 0; step < totalSteps; step++) {
  const { fvu, dead } = await trainer.train(await read((step * B) % trainRows, B));
  if (step % 100 === 99) console.log(`step ${step + 1}  FVU ${fvu.toFixed(3)}  ${dead} dead`);
}
const sae = await trainer.exportSae();
await trainer.close();

// The control: PCA of the training patches, with as many components as the SAE may use latents per patch.
const moments = createMoments(source.D);
moments.add(await read(0, trainRows), trainRows);
const pca = fitPca(moments, K);
const held = await read(trainRows, 2000);
await source.close();

/** Share of the variance of the held-out patches that is not explained. */
function unexplained(guess: (i: number) => number): number {
  let [left, all] = [0, 0];
  for (const [i, v] of held.entries()) {
    left += (v - guess(i)) ** 2;
    all += (v - (pca.mean[i % D] ?? 0)) ** 2;
  }
  return left / all;
}
const decoded = decode(sae, await encode(sae, held));
const saeFvu = unexplained((i) => decoded[i] ?? 0);
const pcaFvu =
  pca.eigenvalues.slice(K).reduce((a, b) => a + b, 0) / pca.eigenvalues.reduce((a, b) => a + b, 0);

/** How many bars some direction points along, cosine above 0.9. */
function found(directions: ArrayLike<number>): number {
  const along = (bar: readonly number[], f: number): number => {
    let [product, square] = [0, 0];
    for (let i = 0; i < D; i++) {
      product += (directions[f * D + i] ?? 0) * (bar[i] ?? 0);
      square += (directions[f * D + i] ?? 0) ** 2;
    }
    return Math.abs(product) / Math.sqrt(square * SIDE);
  };
  const count = directions.length / D;
  return bars.filter((bar) => Array.from({ length: count }, (_, f) => along(bar, f)).some((c) => c > 0.9))
    .length;
}
const everyComponent = fitPca(moments, D).components;
console.log(`\n                 FVU    bars found of ${bars.length}`);
console.log(`SAE, K = ${K}       ${saeFvu.toFixed(3)}  ${found(sae.W_dec)}`);
console.log(`control: PCA-${K}   ${pcaFvu.toFixed(3)}  ${found(everyComponent)} with all ${D} components`);

// The latents that fired most, as pictures.
const code = await encode(sae, held);
const fired = new Float64Array(sae.config.F);
for (const [i, f] of code.indices.entries()) fired[f] = (fired[f] ?? 0) + (code.values[i] ?? 0);
const top = [...fired.keys()].sort((a, b) => (fired[b] ?? 0) - (fired[a] ?? 0)).slice(0, 6);
console.log(`\n${top.map((f) => `#${f}`.padEnd(SIDE + 2)).join('')}`);
for (let y = 0; y < SIDE; y++) {
  const line = (f: number): string => {
    const row = sae.W_dec.subarray(f * D + y * SIDE, f * D + (y + 1) * SIDE);
    return [...row].map((v) => (v > 0.15 ? '█' : '·')).join('');
  };
  console.log(top.map(line).join('  '));
}
