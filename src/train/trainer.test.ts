import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import '../platform/node.ts';
import { batches, smallTraining as small } from '../../test/support/training.ts';
import { readSafetensors } from '../formats/index.ts';
import { openFile } from '../platform/node.ts';
import { createEncoder, decode } from '../sae/index.ts';
import type { Sae, SaeConfig } from '../sae/types.ts';
import { geometricMedian, randomStart } from './init.ts';
import { createTrainer, TrainingDiverged } from './trainer.ts';
import type { StepMetrics, Trainer, TrainerConfig } from './types.ts';

const golden = new URL('../../test/golden/train/', import.meta.url);
type Case = {
  config: Omit<TrainerConfig, 'adam' | 'seed' | 'shards' | 'workers'> & {
    beta1: number;
    beta2: number;
    eps: number;
  };
  inputScale: number;
  mseScale: number;
};
type Golden = {
  init: { inputScale: number; mseScale: number; encoderScale: number };
  cases: Record<string, Case & { steps: (StepMetrics & { auxActive: number })[] }>;
  curve: Case & Record<'loss' | 'fvu' | 'auxLoss' | 'dead', number[]>;
};
const cases = JSON.parse(readFileSync(new URL('cases.json', golden), 'utf8')) as Golden;

type Arrays = Record<string, Float32Array>;
async function load(name: string): Promise<Arrays> {
  const source = await openFile(fileURLToPath(new URL(`${name}.safetensors`, golden)));
  const file = await readSafetensors(source);
  const arrays: Record<string, unknown> = {};
  for (const key of file.tensors.keys()) arrays[key] = await file.read(key);
  await source.close?.();
  return arrays as Arrays;
}

/** A trainer that stands where the PyTorch recipe starts. */
async function start({ config, inputScale, mseScale }: Case, init: Arrays, workers = 0): Promise<Trainer> {
  const { beta1, beta2, eps, ...rest } = config;
  const trainer = await createTrainer({ ...rest, adam: { beta1, beta2, eps }, seed: 0, shards: 8, workers });
  const { F, D } = config;
  const zeros = (n: number) => new Float32Array(n);
  await trainer.restore(
    new Map<string, Float32Array | Int32Array | Float64Array>([
      ['W_enc', init['init.W_enc']!],
      ['W_dec', init['init.W_dec']!],
      ['b_enc', init['init.b_enc'] ?? zeros(F)],
      ['b_dec', init['init.b_dec']!],
      ['sinceFired', Int32Array.from(init['init.steps_since_fired'] ?? zeros(F))],
      ...(config.freeze === 'soft' ? ([['W_start', init['init.W_dec']!]] as const) : []),
      ['mBDec', zeros(D)],
      ['scalars', Float64Array.of(0, inputScale, mseScale)],
    ]),
  );
  return trainer;
}

/** |a - b| / |b| */
function relative(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < b.length; i++) {
    difference += (a[i]! - b[i]!) ** 2;
    norm += b[i]! ** 2;
  }
  return Math.sqrt(difference / norm);
}

describe('against the PyTorch recipe', () => {
  let inputs: Arrays;
  beforeAll(async () => {
    inputs = await load('inputs');
  });

  for (const [name, reference] of Object.entries(cases.cases))
    it(`${name}: parameters agree to 1e-5 after 1, 10 and 12 steps, losses at every step`, async () => {
      const expected = await load(name);
      const trainer = await start(reference, expected);
      const { B, D } = reference.config;
      for (const [i, want] of reference.steps.entries()) {
        const got = await trainer.train(inputs.x!.slice(i * B * D, (i + 1) * B * D));
        for (const key of ['loss', 'fvu', 'l0', 'auxLoss', 'lr'] as const)
          expect(Math.abs(got[key] - want[key]), `${key} at step ${i}`).toBeLessThanOrEqual(
            2e-5 * (1 + Math.abs(want[key])),
          );
        expect(got.dead).toBe(want.dead);
        if (want.multiTopkFvu !== undefined) expect(got.multiTopkFvu).toBeCloseTo(want.multiTopkFvu, 5);
        if (![1, 10, 12].includes(i + 1)) continue;
        const state = await trainer.state();
        for (const parameter of ['W_enc', 'W_dec', 'b_enc', 'b_dec'])
          expect(
            relative(state.get(parameter)!, expected[`step${i + 1}.${parameter}`]!),
            `${parameter} after ${i + 1}`,
          ).toBeLessThan(1e-5);
        if (reference.config.ema) {
          const { b_enc, b_dec, ...sae } = await trainer.exportSae();
          const scaled = (v: Float32Array) => v.map((b) => b * reference.inputScale);
          const exported = { W_enc: sae.W_enc, W_dec: sae.W_dec, b_enc: scaled(b_enc), b_dec: scaled(b_dec) };
          for (const [parameter, values] of Object.entries(exported))
            expect(
              relative(values, expected[`step${i + 1}.ema.${parameter}`]!),
              `average of ${parameter} after ${i + 1}`,
            ).toBeLessThan(1e-5);
        }
        expect([...state.get('sinceFired')!]).toEqual([...expected[`step${i + 1}.steps_since_fired`]!]);
      }
      await trainer.close();
    });

  it('the loss stays within 2 % of its curve over 300 steps', async () => {
    const curve = await load('curve');
    const trainer = await start(cases.curve, curve);
    const { B, D } = cases.curve.config;
    const rows = curve.data!.length / D;
    for (let t = 0; t < cases.curve.loss.length; t++) {
      const x = new Float32Array(B * D);
      for (let i = 0; i < B; i++) {
        const row = ((t * B + i) % rows) * D;
        x.set(curve.data!.subarray(row, row + D), i * D);
      }
      const { loss } = await trainer.train(x);
      expect(Math.abs(loss / cases.curve.loss[t]! - 1), `step ${t}`).toBeLessThan(0.02);
    }
    await trainer.close();
  });

  it('initialisation finds the same scales and geometric median', async () => {
    const { config } = cases.cases.plain!;
    const { beta1, beta2, eps, ...rest } = config;
    const full = { ...rest, adam: { beta1, beta2, eps }, seed: 0, shards: 8, workers: 0 };
    const W_dec = new Float32Array(config.F * config.D);
    const { scales, b_dec, encoderScale } = await randomStart(full, inputs.sample!, async (rows, first) =>
      W_dec.set(rows, first * config.D),
    );
    expect(scales.inputScale).toBeCloseTo(cases.init.inputScale, 6);
    expect(scales.mseScale).toBeCloseTo(cases.init.mseScale, 5);
    expect(relative(b_dec, inputs['init.b_dec_converged']!)).toBeLessThan(1e-4);
    for (let i = 0; i < config.F; i++)
      expect(Math.hypot(...W_dec.subarray(i * config.D, (i + 1) * config.D))).toBeCloseTo(1, 6);
    // Other random directions than PyTorch's, the same kind: the scale that makes norms match is near the golden's.
    expect(encoderScale / cases.init.encoderScale).toBeGreaterThan(0.9);
    expect(encoderScale / cases.init.encoderScale).toBeLessThan(1.1);
  });
});

it('the geometric median of a right triangle is its Fermat point', () => {
  const [a, b] = geometricMedian(Float32Array.from([0, 0, 1, 0, 0, 1]), 2);
  expect(a).toBeCloseTo((3 - Math.sqrt(3)) / 6, 3);
  expect(b).toBeCloseTo((3 - Math.sqrt(3)) / 6, 3);
});

/** FVU of an SAE over whole batches, by its own encoder and decoder. */
async function unexplained(sae: Sae, data: readonly Float32Array[]): Promise<number> {
  const { D } = sae.config;
  const encoder = await createEncoder(sae);
  let [error, variance] = [0, 0];
  for (const x of data) {
    const out = decode(sae, await encoder.encode(x));
    const B = x.length / D;
    for (let d = 0; d < D; d++) {
      let mean = 0;
      for (let b = 0; b < B; b++) mean += x[b * D + d]! / B;
      for (let b = 0; b < B; b++) {
        error += (x[b * D + d]! - out[b * D + d]!) ** 2;
        variance += (x[b * D + d]! - mean) ** 2;
      }
    }
  }
  await encoder.close();
  return error / variance;
}

async function train(
  config: TrainerConfig,
  steps: number,
): Promise<{ state: Map<string, ArrayLike<number>>; last: StepMetrics }> {
  const trainer = await createTrainer(config);
  const data = batches(config, steps);
  await trainer.initialize(data[0]!);
  let last: StepMetrics | undefined;
  for (const x of data) last = await trainer.train(x);
  const state = await trainer.state();
  await trainer.close();
  return { state, last: last! };
}

describe('workers', () => {
  it('200 steps on the calling thread, 1, 2 and 4 workers end in bit-identical states, AuxK active', async () => {
    const one = await train(small, 200);
    expect(one.last.auxLoss).toBeGreaterThan(0);
    for (const workers of [1, 2, 4]) {
      const many = await train({ ...small, workers }, 200);
      expect(many.last).toEqual(one.last);
      for (const [name, array] of one.state)
        expect(many.state.get(name), `${name}, ${workers} workers`).toEqual(array);
    }
  });

  it('a state taken in the middle continues bit for bit on another number of workers', async () => {
    const whole = await train(small, 60);
    const data = batches(small, 60);
    const first = await createTrainer({ ...small, workers: 2 });
    await first.initialize(data[0]!);
    for (const x of data.slice(0, 31)) await first.train(x);
    const state = await first.state();
    await first.close();
    const second = await createTrainer({ ...small, workers: 4 });
    await second.restore(state);
    for (const x of data.slice(31)) await second.train(x);
    for (const [name, array] of await second.state()) expect(array, name).toEqual(whole.state.get(name));
    await second.close();
  });

  it('Multi-TopK and the moving average are bit-identical over workers too, and after a resume on others', async () => {
    const config = { ...small, multiTopk: true, ema: 0.95 };
    const one = await train(config, 60);
    expect(one.last.auxLoss).toBeGreaterThan(0);
    const two = await train({ ...config, workers: 2 }, 60);
    expect(two.last).toEqual(one.last);
    const data = batches(config, 60);
    const first = await createTrainer({ ...config, workers: 4 });
    await first.initialize(data[0]!);
    for (const x of data.slice(0, 31)) await first.train(x);
    const state = await first.state();
    await first.close();
    const second = await createTrainer(config);
    await second.restore(state);
    for (const x of data.slice(31)) await second.train(x);
    const resumed = await second.state();
    await second.close();
    expect(one.state.has('emaDec')).toBe(true);
    for (const [name, array] of one.state) {
      expect(two.state.get(name), `${name}, 2 workers`).toEqual(array);
      expect(resumed.get(name), `${name}, resumed`).toEqual(array);
    }
  });
});

describe('Multi-TopK', () => {
  it('reconstructs better with 4K latents than a run without it, at nearly the same loss with K', async () => {
    const data = batches(small, 220);
    const fvu = async (config: TrainerConfig): Promise<number[]> => {
      const trainer = await createTrainer(config);
      await trainer.initialize(data[0]!);
      for (const x of data.slice(0, 200)) await trainer.train(x);
      const sae = await trainer.exportSae();
      await trainer.close();
      return await Promise.all(
        [small.K, 4 * small.K].map((K) =>
          unexplained({ ...sae, config: { ...sae.config, K } as SaeConfig }, data.slice(200)),
        ),
      );
    };
    const [plain, multi] = [await fvu(small), await fvu({ ...small, multiTopk: true })];
    expect(multi[1]!).toBeLessThan(0.8 * plain[1]!);
    expect(multi[0]!).toBeLessThan(1.2 * plain[0]!);
  });

  it('takes every latent when there are fewer than 4K', async () => {
    const config = { ...small, F: 8, K: 4, multiTopk: true, auxk: 0 };
    const [x] = batches(config, 1);
    const trainer = await createTrainer(config);
    await trainer.initialize(x!);
    const sae = await trainer.exportSae();
    const { multiTopkFvu } = await trainer.train(x!);
    await trainer.close();
    expect(multiTopkFvu).toBeCloseTo(
      await unexplained({ ...sae, config: { ...sae.config, K: 8 } as SaeConfig }, [x!]),
      5,
    );
  });
});

describe('moving average', () => {
  it('the exported SAE is the average, with unit decoder rows, and reconstructs better at a constant high rate', async () => {
    const config = { ...small, lr: 0.02, decaySteps: 0 };
    const data = batches(config, 220);
    const exported = async (ema: number): Promise<Sae> => {
      const trainer = await createTrainer({ ...config, ema });
      await trainer.initialize(data[0]!);
      for (const x of data.slice(0, 200)) await trainer.train(x);
      const sae = await trainer.exportSae();
      await trainer.close();
      return sae;
    };
    const [last, mean] = [await exported(0), await exported(0.9)];
    for (let i = 0; i < config.F; i++)
      expect(Math.hypot(...mean.W_dec.subarray(i * config.D, (i + 1) * config.D))).toBeCloseTo(1, 6);
    expect(await unexplained(mean, data.slice(200))).toBeLessThan(
      0.95 * (await unexplained(last, data.slice(200))),
    );
  });

  it('is the weights themselves before the first step and after one', async () => {
    const [x] = batches(small, 1);
    const trainer = await createTrainer({ ...small, ema: 0.999 });
    await trainer.initialize(x!);
    const state = await trainer.state();
    expect(relative((await trainer.exportSae()).W_enc, state.get('W_enc')!)).toBe(0);
    await trainer.train(x!);
    const next = await trainer.state();
    expect(relative((await trainer.exportSae()).W_enc, next.get('W_enc')!)).toBeLessThan(1e-6);
    await trainer.close();
  });

  it('a decay of 1 is refused', async () => {
    await expect(createTrainer({ ...small, ema: 1 })).rejects.toThrow(/average is 1.*below 1/);
  });
});

describe('starting from an SAE', () => {
  const finished = async (config: TrainerConfig, data: readonly Float32Array[]): Promise<Sae> => {
    const trainer = await createTrainer(config);
    await trainer.initialize(data[0]!);
    for (const x of data) await trainer.train(x);
    const sae = await trainer.exportSae();
    await trainer.close();
    return sae;
  };

  it('the first step has the FVU of the loaded SAE, whatever scale the new sample gives', async () => {
    const data = batches(small, 100);
    const sae = await finished(small, data);
    const shifted = data.map((x) => x.map((v) => 1.7 * v + 0.3));
    const trainer = await createTrainer({ ...small, seed: 99 });
    for (const rows of [data, shifted]) {
      await trainer.initialize(rows[0]!, sae);
      const { fvu } = await trainer.train(rows[7]!);
      expect(Math.abs(fvu / (await unexplained(sae, [rows[7]!])) - 1)).toBeLessThan(1e-5);
      await trainer.restore(new Map([...(await trainer.state()), ['scalars', Float64Array.of(0, 1, 1)]]));
    }
    await trainer.close();
  });

  it('Adam starts fresh: nothing but the weights is taken over', async () => {
    const data = batches(small, 30);
    const trainer = await createTrainer(small);
    await trainer.initialize(data[0]!, await finished(small, data));
    const state = await trainer.state();
    await trainer.close();
    for (const name of ['mEnc', 'vEnc', 'mDec', 'vDec', 'mBias', 'vBias', 'mBDec', 'sinceFired', 'fired'])
      expect(
        state.get(name)!.every((v) => v === 0),
        name,
      ).toBe(true);
    expect(state.get('scalars')![0]).toBe(0);
  });

  it('other sizes and decoders of other norms are refused with what to do', async () => {
    const [x] = batches(small, 1);
    const sae = await finished(small, [x!]);
    const from = async (config: TrainerConfig, start: Sae): Promise<void> => {
      const trainer = await createTrainer(config);
      await trainer.initialize(x!, start).finally(() => trainer.close());
    };
    await expect(from({ ...small, F: 128 }, sae)).rejects.toThrow(/F = 64, this run has 128.*--latents 64/);
    await expect(from({ ...small, K: 8 }, sae)).rejects.toThrow(/K = 4, this run has 8.*--k 4/);
    await expect(from({ ...small, D: 11 }, sae)).rejects.toThrow(/D = 22, this run has 11.*model and hook/);
    const W_dec = sae.W_dec.map((v, j) => (Math.floor(j / small.D) === 5 ? 3 * v : v));
    await expect(from(small, { ...sae, W_dec })).rejects.toThrow(/row 5 .*norm 3\.000/);
    const W_skip = new Float32Array(small.D ** 2);
    await expect(from(small, { ...sae, W_skip })).rejects.toThrow(
      /with a skip connection; this run trains topk/,
    );
  });
});

describe('dead latents', () => {
  /** Trains after planting 30 % dead latents (encoder rows too short to reach the top K); returns the share that lives again. */
  async function revived(auxk: number): Promise<number> {
    const config = { ...small, F: 128, auxk, deadSteps: 5, totalSteps: 400, lr: 4e-3 };
    const data = batches(config, 400, 300);
    const trainer = await createTrainer(config);
    await trainer.initialize(data[0]!);
    const state = await trainer.state();
    const planted = Array.from({ length: Math.floor(0.3 * config.F) }, (_, i) => i * 3);
    for (const i of planted) {
      const rows = state.get('W_enc')!;
      for (let j = i * config.D; j < (i + 1) * config.D; j++) rows[j]! *= 0.02;
      state.get('sinceFired')![i] = 1000;
    }
    await trainer.restore(state);
    for (const x of data) await trainer.train(x);
    const since = (await trainer.state()).get('sinceFired')!;
    await trainer.close();
    return planted.filter((i) => since[i]! < 50).length / planted.length;
  }

  it('AuxK revives at least 80 % of 30 % planted dead latents; without it they stay dead', async () => {
    expect(await revived(0)).toBeLessThan(0.1);
    expect(await revived(16)).toBeGreaterThanOrEqual(0.8);
  });
});

describe('what can go wrong', () => {
  it('a NaN in the batch stops the step, names the row, and leaves the state alone', async () => {
    for (const workers of [0, 2]) {
      const trainer = await createTrainer({ ...small, workers });
      const [a, b] = batches(small, 2);
      await trainer.initialize(a!);
      await trainer.train(a!);
      const before = await trainer.state();
      const broken = b!.slice();
      broken[7 * small.D + 3] = Number.NaN;
      await expect(trainer.train(broken)).rejects.toThrow(/step 1.*row 7.*NaN at position 3/);
      await expect(trainer.train(broken)).rejects.toBeInstanceOf(TrainingDiverged);
      expect(await trainer.state()).toEqual(before);
      expect((await trainer.train(b!)).step).toBe(2);
      await trainer.close();
    }
  });

  it('sizes that do not fit are refused with what to do', async () => {
    await expect(createTrainer({ ...small, K: 65 })).rejects.toThrow(/K = 65.*F = 64/);
    await expect(createTrainer({ ...small, F: 60 })).rejects.toThrow(/60.*8 shards.*multiple/);
    const trainer = await createTrainer(small);
    await expect(trainer.train(new Float32Array(small.B * small.D))).rejects.toThrow(/initialize/);
    await expect(trainer.initialize(new Float32Array(44).fill(1))).rejects.toThrow(/nothing to learn/);
    await expect(trainer.initialize(new Float32Array(44).fill(Number.NaN))).rejects.toThrow(/row 0 .*NaN/);
    await trainer.initialize(batches(small, 1)[0]!);
    await expect(trainer.train(new Float32Array(5))).rejects.toThrow(/96 rows of width 22/);
    await trainer.close();
  });
});
