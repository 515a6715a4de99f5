import { describe, expect, it } from 'vitest';
import { type TrainConfigInput, trainConfigSchema } from './config.ts';
import { defaultAuxk, defaultHook, deriveSettings } from './derive.ts';

const config = (input: Partial<TrainConfigInput> = {}) =>
  trainConfigSchema.parse({ model: 'model', data: ['text.txt'], ...input });
const gpt2 = { D: 768, layers: 12, contextLength: 1024 };

describe('derived settings', () => {
  it('follow the published recipe for GPT-2 small with 16,384 latents', () => {
    const settings = deriveSettings(config({ latents: 16384, tokens: 200_000_000 }), gpt2, 8);
    expect(settings.lr).toBeCloseTo(2e-4, 12);
    expect(settings.hook).toBe('blocks.7.hook_resid_post');
    expect(settings.auxk).toBe(256);
    expect(settings.deadWindowTokens).toBe(10_000_000);
    expect(settings.deadSteps).toBe(2441);
    expect(settings.totalSteps).toBe(48828);
    expect(settings.contextLength).toBe(256);
    expect(settings.workers).toBe(8);
  });

  it('quarter the latents, double the learning rate', () => {
    expect(deriveSettings(config({ latents: 4096 }), gpt2, 2).lr).toBeCloseTo(4e-4, 12);
  });

  it('of the short recipe are those that were measured at 256 and 1,024 steps, and fall with the root of the latents', () => {
    const short = (latents: number, steps: number) =>
      deriveSettings(config({ recipe: 'short', latents, tokens: steps * 4096 }), gpt2, 2);
    expect(short(4096, 256)).toMatchObject({ lr: 0.02, warmupSteps: 51, decaySteps: 128 });
    expect(short(4096, 1024).lr).toBeCloseTo(0.01, 12);
    expect(short(4096, 64).lr).toBe(0.02);
    expect(short(16384, 256).lr).toBeCloseTo(0.01, 12);
  });

  it('keep the dead window at a tenth of a short run', () => {
    expect(deriveSettings(config({ tokens: 2_000_000 }), gpt2, 2).deadWindowTokens).toBe(200_000);
  });

  it('leave alone what the config says', () => {
    const own = {
      lr: 1e-3,
      auxk: 0,
      hook: 'blocks.0.hook_mlp_out',
      contextLength: 64,
      workers: 1,
      warmupTokens: 0,
    };
    expect(deriveSettings(config(own), gpt2, 8)).toMatchObject({
      lr: 1e-3,
      auxk: 0,
      hook: 'blocks.0.hook_mlp_out',
      contextLength: 64,
      workers: 1,
      warmupSteps: 0,
    });
  });

  it('never use more workers than shards', () => {
    expect(deriveSettings(config({ shards: 2 }), gpt2, 64).workers).toBe(2);
  });

  it('place the default hook at two thirds of the depth', () => {
    expect([1, 2, 4, 6, 12, 32].map(defaultHook)).toEqual(
      [0, 0, 2, 3, 7, 20].map((block) => `blocks.${block}.hook_resid_post`),
    );
  });

  it('bound k_aux by the width and by the latents', () => {
    expect(defaultAuxk(768, 16384)).toBe(256);
    expect(defaultAuxk(192, 4096)).toBe(64);
    expect(defaultAuxk(768, 64)).toBe(8);
    expect(defaultAuxk(768, 4)).toBe(0);
  });

  it('refuse what stored activations cannot give: tokens for a bias, a second hook for a transcoder', () => {
    const stored = { D: 64, hook: 'rows' };
    const from = (change: object) => ({
      ...config(change),
      model: undefined,
      data: undefined,
      activations: 'rows',
    });
    const derive = (change: object) => deriveSettings(from(change) as ReturnType<typeof config>, stored, 2);
    expect(() => derive({ tokenBias: true })).toThrow(/--token-bias needs the token of every row/);
    expect(() => derive({ variant: 'transcoder' })).toThrow(/two hooks of the same tokens; rows are of one/);
  });

  it('refuse options that their rows or their variant would not look at', () => {
    const stored = (change: object) =>
      deriveSettings(
        { ...config(change), model: undefined, data: undefined, activations: 'rows' },
        { D: 64, hook: 'rows' },
        2,
      );
    const unread = {
      ...{ contextLength: 64, excludeSpecial: false, excludeFirst: 1, textField: 'body', roles: ['user'] },
      ...{ keepNearDuplicates: true, stream: true, device: 'webgpu', lowMemory: true },
    };
    for (const [field, value] of Object.entries(unread))
      expect(() => stored({ [field]: value }), field).toThrow(/says how a model reads text; rows are rows/);
    expect(stored({ heldoutShare: 0.2 }).hook).toBe('rows');
    const text = (change: object) => deriveSettings(config(change), gpt2, 2);
    expect(() => text({ heldoutShare: 0.2 })).toThrow(/--heldout-share is of stored activations/);
    expect(() => text({ sparsityCoefficient: 5 })).toThrow(/is of relu, gated and jumprelu; this is topk/);
    expect(() => text({ sparsityWarmupTokens: 5 })).toThrow(/is of relu, gated and jumprelu; this is topk/);
    expect(() => text({ variant: 'relu', sparsityWarmupTokens: 5 })).toThrow(/give --l0 0/);
    expect(() => text({ contextLength: 1 })).toThrow(/>=2/);
  });

  it('refuse K > F, a run shorter than a step, a schedule that does not fit, a context that is too long', () => {
    expect(() => deriveSettings(config({ k: 33, latents: 32 }), gpt2, 2)).toThrow(/33.*32 latents/);
    expect(() => deriveSettings(config({ tokens: 100 }), gpt2, 2)).toThrow(/less than one step/);
    expect(() => deriveSettings(config({ warmupTokens: 2_000_000 }), gpt2, 2)).toThrow(/exceed the run/);
    expect(() => deriveSettings(config({ contextLength: 2048 }), gpt2, 2)).toThrow(/at most 1024/);
    expect(() => deriveSettings(config({ excludeFirst: 256 }), gpt2, 2)).toThrow(
      /leaves nothing of rows of 256 positions/,
    );
  });
});
