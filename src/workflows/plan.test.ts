import { describe, expect, it } from 'vitest';
import type { HookInfo, ModelInfo } from '../models/types.ts';
import { type TrainConfigInput, trainConfigSchema } from '../shared/config.ts';
import { joinMemory, type MemoryLine, peakMemory, phaseBytes } from './estimate/memory.ts';
import { planTraining } from './plan.ts';

const info: ModelInfo = {
  name: 'gpt2',
  family: 'gpt2',
  encoder: false,
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
const part = { weightBytes: 200e6, mappedBytes: 0, flops: 1e8, innerBytes: 30e6 };
const plan = (input: Partial<TrainConfigInput> = {}) =>
  planTraining(
    trainConfigSchema.parse({ model: 'gpt2', data: ['t'], latents: 16384, ...input }),
    { info, hooks, cost: () => ({ before: part, after: part, head: part }) },
    { cores: 2, folder: 'runs/x' },
  );
const bytesOf = (memory: readonly MemoryLine[], ...names: string[]): number =>
  memory.filter(({ name }) => names.includes(name)).reduce((sum, { bytes }) => sum + bytes, 0);
const BUFFERS = ['batch buffers', 'AuxK buffers', 'between workers', 'shuffle buffer', 'rows in flight'];

describe('plan', () => {
  it('keeps the promise about memory: 4 x (2 F D) x 4 bytes, the stated buffers, 300 MB, beyond the model', () => {
    for (const input of [
      {},
      { latents: 4096 },
      { latents: 65536, workers: 4 },
      { evalTokens: 0, shuffleTokens: 4096 },
    ]) {
      const { memory, trainer } = plan(input);
      const { bytes, phase } = peakMemory(memory);
      const held = memory.filter(({ phases }) => phases.includes(phase));
      const rest = bytes - bytesOf(held, ...BUFFERS, 'model up to the hook', 'Node, code, tokenizer');
      const model = phase === 'evaluation' ? 2 * (part.weightBytes + part.innerBytes) : 0;
      expect(rest - model).toBeLessThanOrEqual(4 * 2 * trainer.F * trainer.D * 4 + 300e6);
    }
  });

  it('counts weights and moments exactly: 6 F D floats, 3 F for the biases', () => {
    const F = 16384;
    expect(bytesOf(plan().memory, 'weights and Adam moments')).toBe(4 * (6 * F * 768 + 3 * F));
  });

  it('counts what several SAEs share once: the model for all, the shuffle buffer per hook', () => {
    const [a, b] = [plan({ latents: 4096 }), plan({ latents: 8192 })];
    const wide = plan({ hook: 'blocks.7.mlp.hook_post' });
    const joined = joinMemory([a, b, wide]);
    const each = (name: string) => [a, b, wide].map(({ memory }) => bytesOf(memory, name));
    const [x, y, z] = each('weights and Adam moments');
    expect(bytesOf(joined, 'weights and Adam moments')).toBe(x! + y! + z!);
    expect(bytesOf(joined, 'shuffle buffer')).toBe(131072 * 4 * (768 + 3072));
    expect(bytesOf(joined, 'model up to the hook')).toBe(part.weightBytes + part.innerBytes);
    expect(bytesOf(joined, 'SAE copied out')).toBe(Math.max(...each('SAE copied out')));
    expect(phaseBytes(joined, 'training')).toBeGreaterThan(phaseBytes(wide.memory, 'training'));
  });

  it('takes the width from the hook', () => {
    expect(plan({ hook: 'blocks.7.mlp.hook_post' }).trainer.D).toBe(3072);
  });

  it('holds a shuffle buffer no larger than the run', () => {
    expect(bytesOf(plan({ tokens: 40960 }).memory, 'shuffle buffer')).toBe(40960 * 768 * 4);
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
