import { describe, expect, it } from 'vitest';
import { trainConfigSchema } from '../../shared/config.ts';
import { harvestConfigSchema } from '../../shared/harvest.ts';
import { planStored } from '../plan.ts';
import type { TrainPlan } from '../types.ts';
import { adviceOf, problemsOf } from './advice.ts';
import { diskAtEnd, diskPeak, diskUse } from './disk.ts';
import type { Estimate } from './estimate.ts';
import { joinMemory, peakMemory } from './memory.ts';
import { expectedAuxk, sameSpeed } from './time.ts';
import { stepWork, trainerWork } from './work.ts';

const plan = (input: object = {}, D = 768): TrainPlan =>
  planStored(
    trainConfigSchema.parse({ activations: 'a', latents: 16384, tokens: 1e6, ...input }),
    { D, rows: 1e6, name: 'a', format: 'npy', meta: {} },
    { cores: 2, folder: 'runs/x' },
  );

describe('operations', () => {
  it('of a step are those of its equations, counted by hand', () => {
    const work = trainerWork({ ...plan().trainer, B: 4096, D: 768, F: 16384, K: 32, auxk: 256 });
    // One multiplication and one addition per row, latent and width.
    expect(work.encoder).toBe(2 * 4096 * 16384 * 768);
    // z W_dec, e . w_dec, e z, x dz: each touches K rows of width D per token.
    expect(work.sparse).toBe(4096 * 32 * (2 * 768 + 2 * 768 + 2 * 768 + 2 * 768));
    expect(work.auxk).toBe((work.sparse * 256) / 32);
  });

  it('of several SAEs add up; the model runs once for all of them, to the deepest hook', () => {
    const part = { weightBytes: 0, mappedBytes: 0, innerBytes: 0, flops: 0 };
    const at = (flops: number, input: object): TrainPlan => ({
      ...plan(input),
      cost: { before: { ...part, flops }, after: part, head: part },
    });
    const both = stepWork([at(1000, {}), at(3000, { latents: 4096 })]);
    expect(both.encoder).toBe(2 * 4096 * (16384 + 4096) * 768);
    expect(both.model).toBe(4096 * 3000);
  });

  it('AuxK is expected where a window is short for the number of latents, and only after it', () => {
    // 100,000 tokens x 32 / 16,384 = 195 firings a latent.
    expect(expectedAuxk(plan())).toBe(0);
    // 5,000 x 32 / 16,384 = 10.
    expect(expectedAuxk(plan({ deadWindowTokens: 5000 }))).toBeCloseTo((1 - 5000 / 1e6) / 2);
    expect(expectedAuxk(plan({ deadWindowTokens: 5000, auxk: 0 }))).toBe(0);
  });
});

it('one of two SAEs of a grid is timed where they differ in nothing that a step works on', () => {
  for (const input of [{ lr: 1e-4 }, { seed: 7 }, { warmupTokens: 0 }, { tokens: 2e6 }])
    expect(sameSpeed(plan(), plan(input)), JSON.stringify(input)).toBe(true);
  for (const input of [
    { k: 64 },
    { latents: 8192 },
    { variant: 'batch-topk' },
    { variant: 'relu' },
    { auxk: 0 },
  ])
    expect(sameSpeed(plan(), plan(input)), JSON.stringify(input)).toBe(false);
  expect(sameSpeed(plan({ variant: 'relu' }), plan({ variant: 'relu', penaltyPower: 0.2 }))).toBe(false);
  expect(sameSpeed(plan({ variant: 'relu' }), plan({ variant: 'relu', l0: 64 }))).toBe(false);
});

describe('disk', () => {
  it('holds two checkpoints and the SAE at the end, three for a moment', () => {
    const use = diskUse(plan({ checkpointEveryTokens: 40960, evalTokens: 0 }));
    // 244 steps of 4,096, one every 10: not after the last.
    expect(use.checkpoints).toBe(24);
    const [F, D] = [16384, 768];
    expect(use.checkpoint).toBe(4 * (6 * F * D + 3 * F) + 12 * D + 12 * F);
    expect(use.sae).toBe(4 * (2 * F * D + F + D));
    expect(diskAtEnd(use)).toBe(2 * use.checkpoint + use.sae + use.rest);
    expect(diskPeak(use) - diskAtEnd(use)).toBe(use.checkpoint);
  });

  it('has no checkpoint of a run of one step', () => {
    const use = diskUse(plan({ tokens: 4096, warmupTokens: 0, decayTokens: 0 }));
    expect(use.checkpoints).toBe(0);
    expect(diskPeak(use)).toBe(use.sae + use.rest);
  });
});

describe('what does not fit', () => {
  const estimate = (
    plans: TrainPlan[],
    available: number,
    free = 1e15,
  ): Omit<Estimate, 'problems' | 'advice'> => {
    const lines = joinMemory(plans);
    const { bytes: peak, phase } = peakMemory(lines);
    return {
      plans,
      memory: { lines, peak, phase, available, perRank: { ranks: 2, bytes: 1e9 } },
      work: { perStep: stepWork(plans), total: 1 },
      time: {
        stages: [
          { name: 'SAE', perStep: 900, seconds: 90 },
          { name: 'data', perStep: 100, seconds: 10 },
        ],
        ...{ seconds: 100, evaluationSeconds: 0, tokensPerSecond: 1, trainers: [], auxkShare: 0, scaled: [] },
      },
      disk: { peak: 5e9, atEnd: 4e9, free },
    };
  };

  it('is nothing where there is room', () => {
    expect(problemsOf(estimate([plan()], 1e12))).toEqual([]);
  });

  it('names the largest part and a value that fits', () => {
    const large = plan({ latents: 262_144, shuffleTokens: 4096 });
    const whole = peakMemory(large.memory).bytes;
    const [problem] = problemsOf(estimate([large], whole - 2e9));
    expect(problem).toMatch(
      /^Memory: .* GB at most, .*weights and Adam moments \(4\.8 GB\): use --latents \d+\.$/,
    );
    const latents = Number(/--latents (\d+)/.exec(problem!)![1]);
    const smaller = peakMemory(plan({ latents, shuffleTokens: 4096 }).memory).bytes;
    expect(smaller).toBeLessThanOrEqual(whole - 2e9);

    const wide = plan({ latents: 1024, tokens: 1e7, shuffleTokens: 500_000 });
    expect(problemsOf(estimate([wide], 1e9))[0]).toMatch(/shuffle buffer .*--shuffle-tokens \d+/);
  });

  it('speaks of the disk and of memories that end at 4 GiB', () => {
    const [disk] = problemsOf(estimate([plan()], 1e12, 1e9));
    expect(disk).toMatch(/^Disk: 5\.0 GB at most, 1\.0 GB are free/);
    const parts = estimate([plan()], 1e12);
    const [threads] = problemsOf({
      ...parts,
      memory: { ...parts.memory, perRank: { ranks: 2, bytes: 9 * 2 ** 30 } },
    });
    // 18 GiB over memories of 4: at least 5, a power of two.
    expect(threads).toMatch(/each of 2 would hold 9\.7 GB.*It takes 8 or more/);
  });

  it('advice names the stage that takes most', () => {
    expect(adviceOf(estimate([plan()], 1e12))).toMatch(
      /^The SAE takes 90 % of the time, most of it the encoder/,
    );
    expect(adviceOf(estimate([plan({ latents: 128, batchTokens: 64 })], 1e12))).toMatch(/--batch-tokens/);
    const parts = estimate([plan()], 1e12);
    const data = [{ name: 'data', seconds: 90 }];
    const slowDisk = adviceOf({ ...parts, time: { ...parts.time, stages: data } });
    const [, dtype] = /--dtype (\w+)/.exec(slowDisk)!;
    expect(harvestConfigSchema.shape.dtype.parse(dtype)).toBe('int8');
    const long = adviceOf({ ...parts, time: { ...parts.time, evaluationSeconds: 101 } });
    expect(long).toMatch(/longer than the training: --eval-tokens/);
  });
});
