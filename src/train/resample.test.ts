/** Dead latents that start anew. */
import { describe, expect, it } from 'vitest';
import '../platform/node.ts';
import { batches, smallTraining } from '../../test/support/training.ts';
import { decode, encode } from '../sae/index.ts';
import { createTrainer } from './trainer.ts';
import type { TrainerConfig } from './types.ts';

// So many latents for so few directions that most of them die.
const config: TrainerConfig = { ...smallTraining, F: 1024, K: 3, auxk: 0, deadSteps: 4, resampleSteps: 10 };
const rows = batches(config, 30);
const { D, F, B } = config;

async function state(one: TrainerConfig, steps: number) {
  const trainer = await createTrainer(one);
  await trainer.initialize(rows[0]!);
  for (const x of rows.slice(0, steps)) await trainer.train(x);
  const [after, sae] = [await trainer.state(), await trainer.exportSae()];
  await trainer.close();
  return { after, sae };
}
const without: TrainerConfig = { ...config, resampleSteps: 0 };

describe('resampling', () => {
  it('puts dead latents on rows drawn by the square of their loss, and touches no other', async () => {
    const [before, plain, resampled] = await Promise.all([
      state(without, 9),
      state(without, 10),
      state(config, 10),
    ]);
    const dead = Array.from({ length: F }, (_, i) => plain.after.get('sinceFired')![i]! >= config.deadSteps);
    const count = dead.filter(Boolean).length;
    expect(count).toBeGreaterThan(500);
    const of = (name: string, i: number, width: number, from = resampled) =>
      (from.after.get(name) as Float32Array).subarray(i * width, (i + 1) * width);
    for (let i = 0; i < F; i++)
      if (!dead[i])
        for (const name of ['W_enc', 'W_dec', 'mEnc', 'vDec'])
          expect(of(name, i, D)).toEqual(of(name, i, D, plain));

    // The rows as the tenth step saw them: in its units, without b_dec as it was; and what the SAE of before leaves of them.
    const x = rows[9]!;
    const [, s] = before.after.get('scalars')!;
    const b_dec = before.after.get('b_dec')!;
    const centred = x.map((v, j) => v * s! - b_dec[j % D]!);
    const unit = (b: number) => {
      const row = centred.subarray(b * D, (b + 1) * D);
      return row.map((v) => v / Math.hypot(...row));
    };
    const out = decode(before.sae, await encode(before.sae, x));
    const losses = Array.from({ length: B }, (_, b) => {
      let square = 0;
      for (let j = b * D; j < (b + 1) * D; j++) square += (x[j]! - out[j]!) ** 2;
      return square ** 2;
    });
    const all = losses.reduce((sum, loss) => sum + loss, 0);

    let live = 0;
    for (let i = 0; i < F; i++) if (!dead[i]) live += Math.hypot(...of('W_enc', i, D, plain)) / (F - count);
    const drawn = new Float64Array(B);
    for (let i = 0; i < F; i++) {
      if (!dead[i]) continue;
      const w = of('W_dec', i, D);
      const b = Array.from({ length: B }, (_, row) =>
        unit(row).reduce((sum, v, d) => sum + v * w[d]!, 0),
      ).findIndex((cosine) => cosine > 0.99999);
      expect(b).toBeGreaterThanOrEqual(0);
      drawn[b]!++;
      for (const [d, v] of unit(b).entries()) expect(of('W_enc', i, D)[d]).toBeCloseTo(live * v, 4);
      for (const name of ['mEnc', 'vEnc', 'mDec', 'vDec'])
        expect(of(name, i, D).every((v) => v === 0)).toBe(true);
      for (const name of ['b_enc', 'mBias', 'vBias', 'sinceFired'])
        expect(resampled.after.get(name)![i]).toBe(0);
    }
    // Pearson's statistic of the draws has mean B - 1 and standard deviation about sqrt(2 B).
    const pearson = losses.reduce((sum, loss, b) => {
      const expected = (count * loss) / all;
      return sum + (drawn[b]! - expected) ** 2 / expected;
    }, 0);
    expect(pearson).toBeLessThan(B + 5 * Math.sqrt(2 * B) + 40);
    // By the loss alone they would not fit.
    const byLoss = losses.map(Math.sqrt);
    const total = byLoss.reduce((sum, loss) => sum + loss, 0);
    const wrong = byLoss.reduce(
      (sum, loss, b) => sum + (drawn[b]! - (count * loss) / total) ** 2 / ((count * loss) / total),
      0,
    );
    expect(wrong).toBeGreaterThan(1.5 * pearson);
  });

  it('makes them fire again, with the same bits on any number of workers, and not while the learning rate decays', async () => {
    // Forty latents that cannot fire as they are.
    const small = { F: 128, deadSteps: 6 };
    const buried = async (
      one: TrainerConfig,
    ): Promise<{ after: Awaited<ReturnType<typeof state>>['after']; fired: number }> => {
      const trainer = await createTrainer(one);
      await trainer.initialize(rows[0]!);
      const b_enc = new Float32Array(128).fill(-1e3, 0, 40);
      await trainer.restore(new Map([...(await trainer.state()), ['b_enc', b_enc]]));
      for (const x of rows.slice(0, 29)) await trainer.train(x);
      const [after, counts] = [await trainer.state(), await trainer.firingCounts()];
      await trainer.close();
      return { after, fired: counts.subarray(0, 40).filter((n) => n > 0).length };
    };
    const one = await buried({ ...config, ...small });
    expect(one.fired).toBeGreaterThan(30);
    expect((await buried({ ...without, ...small })).fired).toBe(0);
    const four = await buried({ ...config, ...small, workers: 4 });
    for (const [array, values] of one.after) expect(four.after.get(array), array).toEqual(values);
    const late = { totalSteps: 10, warmupSteps: 0, decaySteps: 5 };
    const [decaying, never] = [
      await state({ ...config, ...late }, 10),
      await state({ ...without, ...late }, 10),
    ];
    expect(decaying.after.get('W_dec')).toEqual(never.after.get('W_dec'));
  });

  it.each([
    [
      'jumprelu',
      { variant: 'jumprelu', sparsity: { coefficient: 1, l0: 3, warmupSteps: 0 } },
      'threshold',
      0.001 * Math.sqrt(22),
    ],
    ['gated', { variant: 'gated', sparsity: { coefficient: 1, l0: 3, warmupSteps: 0 } }, 'b_mag', 0],
  ] as const)('%s: what else a latent has is as at the start', async (_, change, parameter, start) => {
    const [plain, resampled] = [
      await state({ ...without, ...change }, 10),
      await state({ ...config, ...change }, 10),
    ];
    const changed = Array.from({ length: F }, (_, i) => i).filter(
      (i) => plain.after.get('sinceFired')![i]! >= config.deadSteps,
    );
    expect(changed.length).toBeGreaterThan(10);
    for (const i of changed) expect(resampled.after.get(parameter)![i]).toBeCloseTo(start, 6);
  });
});
