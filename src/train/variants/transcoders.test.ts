/** Transcoders: gradients against finite differences of a loss written out densely, workers, and what is exported. */
import { describe, expect, it } from 'vitest';
import '../../platform/node.ts';
import { expectGradients, type Params } from '../../../test/support/finite-differences.ts';
import { batches, smallTraining } from '../../../test/support/training.ts';
import { topK } from '../../kernels/reference.ts';
import { decode, encode } from '../../sae/index.ts';
import { createRng } from '../../shared/rng.ts';
import { createTrainer } from '../trainer.ts';
import type { TrainerConfig } from '../types.ts';

const kinds = ['transcoder', 'skip-transcoder'] as const;

describe('gradients', () => {
  const [B, D, F, K] = [40, 10, 32, 5];
  const mseScale = 0.7;
  // One place wider than the other, either way, and neither a multiple of 4 or of the shards.
  for (const variant of kinds)
    for (const Dout of [7, 14])
      it(`${variant} from ${D} to ${Dout}: loss, and gradients within 1e-4 of finite differences`, async () => {
        const rng = createRng(3);
        const random = (n: number, scale: number) =>
          Float32Array.from({ length: n }, () => scale * rng.normal());
        const W_dec = random(F * Dout, 1);
        for (let i = 0; i < F; i++) {
          const row = W_dec.subarray(i * Dout, (i + 1) * Dout);
          const norm = Math.hypot(...row);
          for (let d = 0; d < Dout; d++) row[d]! /= norm;
        }
        const shards = 4;
        const skip = variant === 'skip-transcoder';
        // W_skip comes with rows that fill up the last shard.
        const W_skip = new Float32Array(Math.ceil(Dout / shards) * shards * D);
        W_skip.set(random(Dout * D, 0.2));
        const params = {
          ...{ W_enc: random(F * D, 0.5), W_dec, b_enc: random(F, 0.3), b_dec: random(Dout, 0.2) },
          centre: random(D, 0.4),
          ...(skip ? { W_skip } : {}),
        };
        const [x, y] = [random(B * D, 1), random(B * Dout, 1)];
        const [inputScale, outputScale] = [1.5, 0.5];
        const value = (p: Params): number => {
          const pre = new Float64Array(B * F);
          const at = (b: number, d: number) => inputScale * x[b * D + d]! - p.centre![d]!;
          for (let b = 0; b < B; b++)
            for (let i = 0; i < F; i++) {
              let sum = p.b_enc![i]!;
              for (let d = 0; d < D; d++) sum += at(b, d) * p.W_enc![i * D + d]!;
              pre[b * F + i] = sum;
            }
          const z = new Float64Array(B * F);
          for (const entry of topK(pre, 1, B * F, B * K)) z[entry.latent] = entry.value;
          let squares = 0;
          for (let b = 0; b < B; b++)
            for (let o = 0; o < Dout; o++) {
              let e = outputScale * y[b * Dout + o]! - p.b_dec![o]!;
              for (let i = 0; i < F; i++) e -= z[b * F + i]! * p.W_dec![i * Dout + o]!;
              if (skip) for (let d = 0; d < D; d++) e -= p.W_skip![o * D + d]! * at(b, d);
              squares += e * e;
            }
          return (mseScale / (B * Dout)) * squares;
        };
        const config: TrainerConfig = {
          ...{ variant, D, Dout, F, K, B, totalSteps: 10, lr: 1e-3, warmupSteps: 0, decaySteps: 0 },
          adam: { beta1: 0.5, beta2: 0.999, eps: 1e-9 },
          ...{ auxk: 0, auxkCoefficient: 0, deadSteps: 5, freeze: 'none', seed: 1, shards, workers: 0 },
        };
        const scalars = [0, inputScale, mseScale, outputScale];
        await expectGradients(config, { params, scalars, held: ['centre'] }, x, value, { y });
      });
});

/** What an MLP would give: sums of ReLUs of x, of another size, with a constant part. */
function outputs(x: Float32Array, D: number, Dout: number): Float32Array {
  const rng = createRng(7);
  const inner = Float64Array.from({ length: 16 * D }, () => rng.normal() / Math.sqrt(D));
  const outer = Float64Array.from({ length: 16 * Dout }, () => 3 * rng.normal());
  const B = x.length / D;
  const y = new Float32Array(B * Dout).fill(0.7);
  for (let b = 0; b < B; b++)
    for (let h = 0; h < 16; h++) {
      let sum = 0;
      for (let d = 0; d < D; d++) sum += inner[h * D + d]! * x[b * D + d]!;
      if (sum > 0) for (let o = 0; o < Dout; o++) y[b * Dout + o]! += sum * outer[h * Dout + o]!;
    }
  return y;
}

describe.each(kinds)('%s', (variant) => {
  const config: TrainerConfig = { ...smallTraining, K: 6, variant, Dout: 18 };
  const rows = batches(config, 61).map((x) => ({ x, y: outputs(x, config.D, 18) }));

  it('learns, and 0, 1, 2 and 4 workers end in the same bits, also when a run changes them half-way', async () => {
    async function run(workers: readonly number[]) {
      let state: Awaited<ReturnType<Awaited<ReturnType<typeof createTrainer>>['state']>> | undefined;
      const fvu: number[] = [];
      for (const [part, n] of workers.entries()) {
        const trainer = await createTrainer({ ...config, ema: 0.9, workers: n });
        if (state) await trainer.restore(state);
        else await trainer.initialize(rows[0]!.x, undefined, rows[0]!);
        const length = 24 / workers.length;
        for (const { x, y } of rows.slice(part * length, (part + 1) * length))
          fvu.push((await trainer.train(x, { y })).fvu);
        state = await trainer.state();
        await trainer.close();
      }
      return { state: state!, fvu };
    }
    const one = await run([0]);
    expect(one.fvu.at(-1)!).toBeLessThan(0.8 * one.fvu[0]!);
    for (const workers of [[1], [2], [4], [2, 4]]) {
      const many = await run(workers);
      expect(many.fvu).toEqual(one.fvu);
      for (const [array, values] of one.state)
        expect(many.state.get(array), `${array}, ${workers} workers`).toEqual(values);
    }
  });

  it('is exported for rows as they are, with the FVU that training said', async () => {
    const trainer = await createTrainer(config);
    await trainer.initialize(rows[0]!.x, undefined, rows[0]!);
    for (const { x, y } of rows.slice(0, 60)) await trainer.train(x, { y });
    const sae = await trainer.exportSae();
    const { x, y } = rows[60]!;
    const { fvu, l0 } = await trainer.train(x, { y });
    await trainer.close();
    expect(sae.config).toMatchObject({ architecture: 'batchtopk', D: 22, Dout: 18 });
    const code = await encode(sae, x);
    const out = decode(sae, code, { x });
    let [error, scatter] = [0, 0];
    for (let o = 0; o < 18; o++) {
      let mean = 0;
      for (let b = 0; b < config.B; b++) mean += y[b * 18 + o]! / config.B;
      for (let b = 0; b < config.B; b++) {
        error += (y[b * 18 + o]! - out[b * 18 + o]!) ** 2;
        scatter += (y[b * 18 + o]! - mean) ** 2;
      }
    }
    // The running threshold is not the one of this very batch.
    expect(Math.abs(error / scatter / fvu - 1)).toBeLessThan(0.1);
    const active = code.values.reduce((n, z) => (z > 0 ? n + 1 : n), 0) / config.B;
    expect(Math.abs(active / l0 - 1)).toBeLessThan(0.1);
  });

  it('asks for what it is to give, and other kinds refuse it', async () => {
    const trainer = await createTrainer(config);
    await trainer.initialize(rows[0]!.x, undefined, rows[0]!);
    await expect(trainer.train(rows[0]!.x)).rejects.toThrow(
      /learns from rows y \[96,18\] beside x; it was given none/,
    );
    await trainer.close();
    await expect(createTrainer({ ...config, variant: 'topk' })).rejects.toThrow(/Dout.*is 18; this is topk/);
    const plain = await createTrainer(smallTraining);
    await plain.initialize(rows[0]!.x);
    await expect(plain.train(rows[0]!.x, rows[0]!)).rejects.toThrow(/Rows y are for transcoders/);
    await plain.close();
  });
});
