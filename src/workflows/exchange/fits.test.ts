// Names as the hub and Neuronpedia write them; counts against the probability in closed form.
import { describe, expect, it } from 'vitest';
import { plainName, requireCount, requireNames } from './fits.ts';

const given = { modelId: 'gpt2-small', source: '6-res-jb', hooks: new Set<string>() };
const names = (of: object, metadata: Record<string, unknown>) =>
  requireNames({ ...given, indices: new Set(), ...of }, { run: 'here', F: 8, metadata }, false);

describe('names', () => {
  it.each([
    ['openai-community/gpt2', 'gpt2-small'],
    ['openai-community/gpt2-medium', 'gpt2-medium'],
    ['google/gemma-2-2b-it', 'gemma-2-2b-it'],
    ['google/gemma-3-1b-pt', 'gemma-3-1b'],
    ['meta-llama/Llama-3.1-8B-Instruct', 'llama3.1-8b-it'],
    ['meta-llama/Meta-Llama-3-8B', 'llama3-8b'],
    ['Qwen/Qwen2.5-7B-Instruct', 'qwen2.5-7b-it'],
    ['models/pythia-70m-deduped/', 'pythia-70m-deduped'],
  ])('%s and %s are one model', (hub, neuronpedia) => expect(plainName(hub)).toBe(plainName(neuronpedia)));

  it.each([
    ['google/gemma-2-2b', 'gemma-2-2b-it'],
    ['EleutherAI/pythia-70m', 'pythia-70m-deduped'],
    ['openai-community/gpt2-medium', 'gpt2-small'],
  ])('%s and %s are two', (hub, neuronpedia) => expect(plainName(hub)).not.toBe(plainName(neuronpedia)));

  it.each([
    ['6-res-jb', 'blocks.6.hook_resid_pre', true],
    ['06-res-jb', 'blocks.6.hook_resid_pre', true],
    ['20-gemmascope-res-16k', 'blocks.20.hook_resid_post', true],
    ['12-gemmascope-att-16k', 'blocks.12.attn.hook_z', true],
    ['20-gemmascope-transcoder-16k', 'blocks.20.ln2.hook_normalized', true],
    ['blocks.6.hook_resid_pre', 'blocks.6.hook_resid_pre', true],
    ['my-sae', 'blocks.6.hook_resid_pre', true],
    ['6-res-jb', 'hook_embed', true],
    ['6-res-jb', 'blocks.16.hook_resid_pre', false],
    ['6-mlp-oai', 'blocks.6.hook_resid_pre', false],
    ['blocks.6.hook_resid_post', 'blocks.6.hook_resid_pre', false],
  ])('%s of %s: %s', (source, hook_name, fit) => {
    const check = () => names({ source }, { hook_name });
    if (fit) check();
    else expect(check).toThrow(`reads ${hook_name}`);
  });

  it("takes the SAE's own word before others, then that of a hook before that of a source", () => {
    names({}, { neuronpedia_id: 'gpt2-small/6-res-jb', hook_name: 'elsewhere', model_name: 'other' });
    expect(() => names({}, { neuronpedia_id: 'gpt2-small/7-res-jb' })).toThrow(
      'that it is gpt2-small/7-res-jb',
    );
    const hooks = new Set(['blocks.7.hook_resid_post']);
    names({ hooks }, { hook_name: 'blocks.7.hook_resid_post' });
    expect(() => names({ hooks }, { hook_name: 'blocks.6.hook_resid_pre' })).toThrow('of hook blocks.7');
    expect(() => names({}, { model_name: 'gpt2-medium' })).toThrow('--model-id gpt2-small');
    names({}, {});
  });
});

describe('counts', () => {
  const check = (indices: readonly number[], F: number) =>
    requireCount({ ...given, indices: new Set(indices) }, { run: 'here', F, metadata: {} });
  /** n of them, the last m − 1. */
  const some = (n: number, m: number) => [...Array.from({ length: n - 1 }, (_, i) => i), m - 1];

  it('an end is by chance up to 1 in a million: half of 4,096 end 19 early at 1.8e-6, 20 early at 0.9e-6', () => {
    check(some(2048, 4096 - 19), 4096);
    expect(() => check(some(2048, 4096 - 20), 4096)).toThrow(
      '2048 latents, the last 4075, but the SAE in here has 4096',
    );
    expect(() => check(some(2047, 4096), 4096)).toThrow('--partial');
    check(some(4096, 4096), 4096);
    // One of 8 is missing: the last as well as any other.
    check(some(7, 7), 8);
    expect(() => check([], 8)).toThrow('rows of 0 latents');
  });
});
