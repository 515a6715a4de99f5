import { describe, expect, it } from 'vitest';
import type { HookInfo, ModelInfo } from '../models/types.ts';
import { type TrainConfigInput, trainConfigSchema } from '../shared/config.ts';
import { planTraining } from './plan.ts';

const info: ModelInfo = {
  name: 'gpt2',
  family: 'gpt2',
  D: 768,
  layers: 12,
  heads: 12,
  kvHeads: 12,
  headDim: 64,
  V: 50257,
  contextLength: 1024,
  bosTokenId: 50256,
  eosTokenIds: [50256],
  parameters: 124e6,
  hash: 'x',
};
const hooks: HookInfo[] = [
  { name: 'blocks.7.hook_resid_post', dims: ['B', 'T', 'D'], width: 768 },
  { name: 'blocks.7.mlp.hook_post', dims: ['B', 'T', '3072'], width: 3072 },
];
const plan = (input: Partial<TrainConfigInput> = {}) =>
  planTraining(
    trainConfigSchema.parse({ model: 'gpt2', data: ['t'], latents: 16384, ...input }),
    { info, hooks },
    { cores: 2, folder: 'runs/x' },
  );
const sum = (parts: Readonly<Record<string, number>>): number =>
  Object.values(parts).reduce((a, b) => a + b, 0);

describe('plan', () => {
  it('keeps the promise about memory: 4 x (2 F D) x 4 bytes, the stated buffers, 300 MB', () => {
    const { budget } = plan();
    const { 'weights and Adam moments': state, 'engine and code': rest, ...buffers } = budget;
    expect(state).toBeLessThanOrEqual(4 * 2 * 16384 * 768 * 4);
    expect(rest).toBe(300e6);
    expect(buffers['shuffle buffer']).toBe(131072 * 768 * 4);
    expect(sum(budget)).toBe((state as number) + (rest as number) + sum(buffers));
  });

  it('takes the width from the hook', () => {
    expect(plan({ hook: 'blocks.7.mlp.hook_post' }).trainer.D).toBe(3072);
  });

  it('holds a shuffle buffer no larger than the run', () => {
    expect(plan({ tokens: 40960 }).budget['shuffle buffer']).toBe(40960 * 768 * 4);
  });

  it('offers the nearest names for an unknown hook', () => {
    expect(() => plan({ hook: 'blocks.7.hook_resid_pots' })).toThrow(
      /Did you mean "blocks\.7\.hook_resid_post"/,
    );
  });

  it('refuses shards that the latents cannot be dealt to', () => {
    expect(() => plan({ shards: 6 })).toThrow(/power of two/);
    expect(() => plan({ latents: 1001 })).toThrow(/--latents 1008/);
  });
});
