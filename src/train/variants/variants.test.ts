import { describe, expect, it } from 'vitest';
import '../../platform/node.ts';
import { batches, smallTraining } from '../../../test/support/training.ts';
import { pointer as at, createArena } from '../../kernels/arena.ts';
import { createKernels } from '../../kernels/kernels.ts';
import { topK } from '../../kernels/reference.ts';
import { createEncoder, decode } from '../../sae/index.ts';
import { createRng } from '../../shared/rng.ts';
import { createTrainer } from '../trainer.ts';
import type { StepMetrics, TrainerConfig } from '../types.ts';

const small: TrainerConfig = { ...smallTraining, K: 6 };
const sparsity = { coefficient: 0.3, l0: 6, warmupSteps: 0 };

type State = Map<string, ArrayLike<number>>;

/** `steps` steps with each number of workers, one trainer going on where the last one stopped. */
async function train(
  config: TrainerConfig,
  steps: number,
  workers: readonly number[],
): Promise<{ state: State; all: StepMetrics[] }> {
  const data = batches(config, steps * workers.length);
  const all: StepMetrics[] = [];
  let state: Awaited<ReturnType<Awaited<ReturnType<typeof createTrainer>>['state']>> | undefined;
  for (const [part, n] of workers.entries()) {
    const trainer = await createTrainer({ ...config, workers: n });
    if (state) await trainer.restore(state);
    else await trainer.initialize(data[0]!);
    for (const x of data.slice(part * steps, (part + 1) * steps)) all.push(await trainer.train(x));
    state = await trainer.state();
    await trainer.close();
  }
  return { state: state!, all };
}

const variants: Record<string, Partial<TrainerConfig>> = {
  'topk with signed codes': { signed: true, multiTopk: true },
  'batch-topk': { variant: 'batch-topk' },
  matryoshka: { variant: 'matryoshka', prefixes: [5, 20, 64] },
  relu: { variant: 'relu', sparsity, auxk: 0 },
  'relu, half of all latents active at first and for long': {
    variant: 'relu',
    sparsity: { ...sparsity, coefficient: 0.01, l0: 0 },
    auxk: 0,
    K: 1,
    shards: 32,
  },
  gated: { variant: 'gated', sparsity, auxk: 0, ema: 0.9 },
  jumprelu: { variant: 'jumprelu', sparsity, ema: 0.9 },
};

describe('workers', () => {
  for (const [name, changes] of Object.entries(variants))
    it(`${name}: 0, 1, 2 and 4 workers end in the same bits, and so does a run that changes them half-way`, async () => {
      const config = { ...small, ...changes };
      const one = await train(config, 24, [0]);
      expect(one.all.at(-1)!.fvu).toBeLessThan(one.all[0]!.fvu);
      for (const workers of [[1], [2], [4]]) {
        const many = await train(config, 24, workers);
        expect(many.all).toEqual(one.all);
        for (const [array, values] of one.state)
          expect(many.state.get(array), `${array}, ${workers} workers`).toEqual(values);
      }
      const resumed = await train(config, 12, [2, 4]);
      expect(resumed.all).toEqual(one.all);
      for (const [array, values] of one.state) expect(resumed.state.get(array), array).toEqual(values);
    });
});

describe('BatchTopK', () => {
  it('streams tiles into the exact B K largest of the whole batch, ties in the order shard, row, latent', () => {
    const [B, F, S, n] = [9, 24, 3, 31];
    for (let seed = 0; seed < 40; seed++) {
      const rng = createRng(seed);
      const arena = createArena(2 ** 20);
      const kernels = createKernels(arena.memory);
      // Few distinct values, so that there are ties everywhere, and at times fewer positive ones than n.
      const pre = Float32Array.from({ length: B * F }, () => Math.round(2 * rng.normal() - (seed % 3)) / 4);
      const width = F / S;
      const [rowOf, latents, values] = [arena.i32(2 * n), arena.i32(2 * n), arena.f32(2 * n)];
      const [bins, state, tile] = [arena.i32(2048), arena.i32(2), arena.f32(B * width)];
      for (let s = 0; s < S; s++) {
        for (let b = 0; b < B; b++)
          tile.set(pre.subarray(b * F + s * width, b * F + (s + 1) * width), b * width);
        for (const [row, rows] of [
          [0, 4],
          [4, 5],
        ] as const)
          // biome-ignore format: grouped as in the kernel
          kernels.collectBatch(
            at(tile) + row * width * 4, rows, width, row, s * width, n, 2 * n, at(rowOf), at(latents), at(values),
            at(bins), at(state),
          );
      }
      const found = Array.from({ length: state[0]! }, (_, j) => ({
        row: rowOf[j]!,
        latent: latents[j]!,
        value: values[j]!,
      }));
      // In shard-major order, the reference's rule "ties to the lower place" is the rule.
      const shardMajor = Float32Array.from(pre, (_, j) => {
        const [s, b, i] = [Math.floor(j / (B * width)), Math.floor(j / width) % B, j % width];
        return pre[b * F + s * width + i]!;
      });
      const wanted = topK(shardMajor, 1, B * F, n).map(({ latent, value }) => ({
        row: Math.floor(latent / width) % B,
        latent: Math.floor(latent / (B * width)) * width + (latent % width),
        value,
      }));
      const key = (e: { row: number; latent: number }) => e.row * F + e.latent;
      const has = new Set(found.map(key));
      // What is kept so far may be more than n, but never less than the n largest.
      for (const entry of wanted) expect(has.has(key(entry)), `seed ${seed}`).toBe(true);
    }
  });

  it('has K active latents per row on average, and another number in each row', async () => {
    const config: TrainerConfig = { ...small, variant: 'batch-topk' };
    const { all } = await train(config, 40, [0]);
    for (const { l0 } of all) expect(l0).toBe(config.K);
  });
});

describe('the sparsity controller', () => {
  for (const variant of ['relu', 'gated', 'jumprelu'] as const)
    for (const coefficient of [0.03, 30])
      it(`${variant} from lambda ${coefficient}: the requested L0 within 3 % from 30 % of the run on, and in the exported SAE`, async () => {
        const config: TrainerConfig = {
          ...small,
          F: 256,
          B: 512,
          K: 12,
          auxk: 0,
          variant,
          sparsity: { ...sparsity, coefficient, l0: 12 },
        };
        const trainer = await createTrainer(config);
        const data = batches(config, 204);
        await trainer.initialize(data[0]!);
        const l0: number[] = [];
        for (const x of data.slice(0, 200)) l0.push((await trainer.train(x)).l0);
        for (let from = 60; from < 200; from += 20) {
          const mean = l0.slice(from, from + 20).reduce((sum, n) => sum + n, 0) / 20;
          expect(Math.abs(mean / 12 - 1), `steps ${from} to ${from + 20}`).toBeLessThan(0.03);
        }
        const sae = await trainer.exportSae();
        await trainer.close();
        const encoder = await createEncoder(sae);
        let active = 0;
        for (const x of data.slice(200)) {
          const { values } = await encoder.encode(x);
          for (const z of values) if (z > 0) active++;
        }
        await encoder.close();
        expect(Math.abs(active / (4 * 512 * 12) - 1)).toBeLessThan(0.03);
      });
});

describe('the exported SAE', () => {
  for (const [name, changes] of Object.entries(variants).filter(([name]) => !name.includes(',')))
    it(`${name}: takes raw activations and has the FVU that training said`, async () => {
      const config = { ...small, ...changes, ema: 0 };
      const trainer = await createTrainer(config);
      const data = batches(config, 61);
      await trainer.initialize(data[0]!);
      for (const x of data.slice(0, 60)) await trainer.train(x);
      const sae = await trainer.exportSae();
      // The step still looks at the weights that were exported.
      const { fvu, l0 } = await trainer.train(data[60]!);
      await trainer.close();
      const encoder = await createEncoder(sae);
      const code = await encoder.encode(data[60]!);
      await encoder.close();
      const out = decode(sae, code);
      const found = unexplained(data[60]!, out, config.D);
      // BatchTopK's running threshold is not the one of this very batch.
      const near = config.variant === 'batch-topk' || config.variant === 'matryoshka' ? 0.1 : 1e-4;
      expect(Math.abs(found / fvu - 1)).toBeLessThan(near);
      const active = code.values.reduce((n, z) => (z !== 0 ? n + 1 : n), 0) / config.B;
      expect(code.values.some((z) => z < 0)).toBe(config.signed === true);
      expect(Math.abs(active / l0 - 1)).toBeLessThan(near);
    });
});

function unexplained(x: Float32Array, out: Float32Array, D: number): number {
  const B = x.length / D;
  let [error, variance] = [0, 0];
  for (let d = 0; d < D; d++) {
    let mean = 0;
    for (let b = 0; b < B; b++) mean += x[b * D + d]! / B;
    for (let b = 0; b < B; b++) {
      error += (x[b * D + d]! - out[b * D + d]!) ** 2;
      variance += (x[b * D + d]! - mean) ** 2;
    }
  }
  return error / variance;
}
