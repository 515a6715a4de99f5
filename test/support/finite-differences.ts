/** Gradients of a training step against float64 finite differences of its loss. */
import { expect } from 'vitest';
import { projectInPlace } from '../../src/kernels/reference.ts';
import { createTrainer } from '../../src/train/trainer.ts';
import type { Beside, TrainerConfig } from '../../src/train/types.ts';

export type Params = Record<string, Float64Array>;

const momentOf = { W_enc: 'mEnc', W_dec: 'mDec', b_enc: 'mBias', b_dec: 'mBDec', W_skip: 'mSkip' } as Record<
  string,
  string
>;

/**
 * One step from `params` with these scalars of the state (step, scales): the loss is that of `value`, and Adam's first moments are (1 - beta1)
 * times its gradients, those of W_dec with no part along its rows. Parameters named in `held` are given but do not learn.
 */
export async function expectGradients(
  config: TrainerConfig,
  {
    params,
    scalars,
    held = [],
  }: {
    readonly params: Record<string, Float32Array>;
    readonly scalars: readonly number[];
    readonly held?: readonly string[];
  },
  x: Float32Array,
  value: (params: Params) => number,
  beside: Beside = {},
): Promise<void> {
  const trainer = await createTrainer(config);
  await trainer.restore(
    new Map<string, Float32Array | Float64Array>([
      ...Object.entries(params),
      ['scalars', Float64Array.from(scalars)],
    ]),
  );
  const metrics = await trainer.train(x, beside);
  const state = await trainer.state();
  await trainer.close();

  const double = Object.fromEntries(
    Object.entries(params).map(([key, values]) => [key, Float64Array.from(values)]),
  ) as Params;
  expect(metrics.loss).toBeCloseTo(value(double), 5);
  for (const parameter of Object.keys(params)) {
    if (held.includes(parameter)) continue;
    const at = double[parameter]!;
    const expected = at.map((middle, j) => {
      const h = 1e-6;
      at[j] = middle + h;
      const up = value(double);
      at[j] = middle - h;
      const down = value(double);
      at[j] = middle;
      return (up - down) / (2 * h);
    });
    if (parameter === 'W_dec') projectInPlace(expected, at, config.F, at.length / config.F);
    const found = state.get(momentOf[parameter] ?? `m.${parameter}`)!;
    const scale = Math.sqrt(expected.reduce((sum, v) => sum + v * v, 0) / expected.length);
    expect(scale, parameter).toBeGreaterThan(0);
    for (let j = 0; j < at.length; j++)
      expect(
        Math.abs(found[j]! / (1 - config.adam.beta1) - expected[j]!) / scale,
        `${parameter}[${j}]`,
      ).toBeLessThan(1e-4);
  }
}
