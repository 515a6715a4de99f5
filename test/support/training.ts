/** Rows and a config for tests of training. */
import { createRng } from '../../src/shared/rng.ts';
import type { TrainerConfig } from '../../src/train/types.ts';

export const smallTraining: TrainerConfig = {
  D: 22, // not a multiple of 4: rows are padded
  F: 64,
  K: 4,
  B: 96,
  totalSteps: 200,
  lr: 3e-3,
  warmupSteps: 10,
  decaySteps: 40,
  adam: { beta1: 0.9, beta2: 0.999, eps: 6.25e-10 },
  auxk: 6,
  auxkCoefficient: 1 / 32,
  deadSteps: 3,
  freeze: 'none',
  seed: 5,
  shards: 8,
  workers: 0,
};

/** n batches [B,D] of sparse combinations of `count` directions, the first often, the last rarely. */
export function batches(config: TrainerConfig, n: number, count = 40): Float32Array[] {
  const rng = createRng(1);
  const features = Array.from({ length: count }, () =>
    Float32Array.from({ length: config.D }, () => rng.normal()),
  );
  return Array.from({ length: n }, () => {
    const x = new Float32Array(config.B * config.D);
    for (let b = 0; b < config.B; b++)
      for (let k = 0; k < 3; k++) {
        const feature = features[Math.floor(count * rng.uniform() ** 2)]!;
        const size = 0.5 + rng.uniform();
        for (let d = 0; d < config.D; d++) x[b * config.D + d]! += size * feature[d]!;
      }
    return x;
  });
}
