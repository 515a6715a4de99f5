// From the file of another program to an SAE: every format trains.
import { expect, test } from 'vitest';
import { createTrainer, encode, openActivations } from '../src/index.ts';
import { createRng } from '../src/shared/rng.ts';
import { golden } from './support/golden-activations.ts';

test.each([
  'safetensors/bf16.safetensors',
  'safetensors-many',
  'npy/fortran.npy',
  'npz/deflated.npz',
  'parquet/dictionary.parquet',
  'saelens',
  'llamascopium#blocks.1.hook_resid_post',
  'delphi',
])('%s', async (path) => {
  const source = await openActivations(golden(path));
  const { D, rows } = source;
  const B = 16;
  const trainer = await createTrainer({
    ...{ D, F: 24, K: 4, B, totalSteps: 60, lr: 1e-2, warmupSteps: 2, decaySteps: 10 },
    ...{ adam: { beta1: 0.9, beta2: 0.999, eps: 1e-8 }, auxk: 4, auxkCoefficient: 1 / 32, deadSteps: 20 },
    ...{ freeze: 'none', seed: 0, shards: 2, workers: 0 },
  });
  const all = new Float32Array(rows * D);
  await source.read(0, rows, all);
  await trainer.initialize(all);
  const rng = createRng(0);
  const fvu: number[] = [];
  for (let step = 0; step < 60; step++) {
    const x = new Float32Array(B * D);
    for (let b = 0; b < B; b++) await source.read(rng.int(rows), 1, x.subarray(b * D, (b + 1) * D));
    fvu.push((await trainer.train(x)).fvu);
  }
  const mean = (steps: number[]): number => steps.reduce((sum, v) => sum + v, 0) / steps.length;
  expect(mean(fvu.slice(-10))).toBeLessThan(0.6 * mean(fvu.slice(0, 5)));
  const code = await encode(await trainer.exportSae(), all);
  expect(code.values).toHaveLength(rows * 4);
  await trainer.close();
  await source.close();
});
