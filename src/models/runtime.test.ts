import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import '../platform/node.ts';
import { goldenFolder, openGolden, relativeError } from '../../test/golden/models/compare.ts';
import { cutGraph, type Graph } from '../graph/index.ts';
import { openFolder } from '../platform/node.ts';
import { padBatch } from './batch.ts';
import { findFamily } from './families/registry.ts';
import { openModelFolder } from './hf-folder.ts';
import { openModel } from './open.ts';
import type { Model, Tensor, TokenBatch } from './types.ts';

const FAMILIES = ['llama-untied', 'gpt2-new'] as const;
const models = new Map<string, Model>();
const plain = new Map<string, TokenBatch>();

beforeAll(async () => {
  for (const name of FAMILIES) {
    models.set(name, await openModel(goldenFolder(name), { threads: 1 }));
    plain.set(name, await (await openGolden(name)).batch('plain'));
  }
});
afterAll(async () => {
  for (const model of models.values()) await model.close();
});

/** Row b of a [B,...] tensor, its first `length` positions when the second axis is T. */
function row(tensor: Tensor, b: number, length: number): Tensor {
  const [, ...rest] = tensor.dims;
  const size = rest.reduce((product, n) => product * n, 1);
  const width = size / rest[0]!;
  return {
    data: tensor.data.subarray(b * size, b * size + length * width),
    dims: [1, length, ...rest.slice(1)],
  };
}

describe.each(FAMILIES)('%s', (name) => {
  test('a padded batch gives the activations of its single sequences', async () => {
    const model = models.get(name)!;
    const lengths = [3, 17, 9, 1];
    const sequences = lengths.map((length, b) =>
      Array.from({ length }, (_, t) => 3 + ((b * 31 + t * 17) % 300)),
    );
    const hooks = model.hooks.filter(({ dims }) => dims[1] === 'T').map((hook) => hook.name);
    const together = await model.run(padBatch(sequences), { hooks, logits: true });
    for (let b = 0; b < sequences.length; b++) {
      const alone = await model.run(padBatch([sequences[b]!]), { hooks, logits: true });
      for (const hook of hooks)
        expect(relativeError(row(together.cache[hook]!, b, lengths[b]!), alone.cache[hook]!)).toBeLessThan(
          1e-5,
        );
      expect(relativeError(row(together.logits!, b, lengths[b]!), alone.logits!)).toBeLessThan(1e-5);
    }
  });

  test('a batch too large for one call of the engine gives what its halves give, and an abort stops it in between', async () => {
    const model = models.get(name)!;
    // 17,000 positions; 16,384 go at once.
    const sequences = Array.from({ length: 1000 }, (_, b) =>
      Array.from({ length: 17 }, (_, t) => 3 + ((b * 31 + t * 17) % 300)),
    );
    const hooks = ['blocks.1.hook_resid_post', 'blocks.1.attn.hook_pattern'];
    const whole = await model.run(padBatch(sequences), { hooks });
    for (const [from, to] of [
      [0, 500],
      [500, 1000],
    ] as const) {
      const half = await model.run(padBatch(sequences.slice(from, to)), { hooks });
      for (const hook of hooks) {
        const { data, dims } = half.cache[hook]!;
        const same = whole.cache[hook]!.data.subarray(from * (data.length / 500), to * (data.length / 500));
        expect(whole.cache[hook]!.dims).toEqual([1000, ...dims.slice(1)]);
        expect(relativeError({ data: same, dims }, half.cache[hook]!)).toBeLessThan(1e-5);
      }
    }
    const controller = new AbortController();
    setImmediate(() => controller.abort());
    await expect(model.run(padBatch(sequences), { hooks, signal: controller.signal })).rejects.toThrow(
      expect.objectContaining({ name: 'AbortError' }),
    );
  });

  test('continuing from clean activations gives the same logits, at every residual hook', async () => {
    const model = models.get(name)!;
    const batch = plain.get(name)!;
    const hooks = [
      'blocks.0.hook_resid_pre',
      'blocks.0.hook_attn_out',
      'blocks.0.hook_resid_mid',
      'blocks.1.mlp.hook_post',
      'blocks.1.hook_resid_post',
      'blocks.1.attn.hook_z',
    ];
    const { cache, logits } = await model.run(batch, { hooks, logits: true });
    for (const hook of hooks)
      expect(relativeError(await model.runFrom(hook, cache[hook]!, batch), logits!)).toBeLessThan(1e-6);
  });

  test('continuing from other activations changes what follows and nothing before', async () => {
    const model = models.get(name)!;
    const batch = plain.get(name)!;
    const hook = 'blocks.1.hook_resid_pre';
    const { cache, logits } = await model.run(batch, { hooks: [hook], logits: true });
    const changed = cache[hook]!.data.slice();
    const D = model.info.D;
    // Position 20 of 40 is replaced: causal attention keeps the logits before it.
    for (let d = 0; d < D; d++) changed[20 * D + d] = -changed[20 * D + d]!;
    const spliced = await model.runFrom(hook, { data: changed, dims: cache[hook]!.dims }, batch);
    const V = model.info.V;
    const before = (t: Tensor): Tensor => ({ data: t.data.subarray(0, 20 * V), dims: [20, V] });
    const after = (t: Tensor): Tensor => ({ data: t.data.subarray(20 * V), dims: [t.dims[1]! - 20, V] });
    expect(relativeError(before(spliced), before(logits!))).toBeLessThan(1e-6);
    expect(relativeError(after(spliced), after(logits!))).toBeGreaterThan(0.01);
  });

  test('loss per token is the log-softmax of the logits at the next token', async () => {
    const model = models.get(name)!;
    const batch = padBatch([
      Array.from({ length: 12 }, (_, t) => 3 + t * 7),
      Array.from({ length: 5 }, (_, t) => 9 + t),
    ]);
    const { cache, logits } = await model.run(batch, { hooks: ['blocks.0.hook_resid_post'], logits: true });
    const expected = new Float32Array(2 * 11);
    const V = model.info.V;
    for (const [b, length] of [
      [0, 12],
      [1, 5],
    ] as const) {
      for (let t = 0; t < length - 1; t++) {
        const line = Array.from(logits!.data.subarray((b * 12 + t) * V, (b * 12 + t + 1) * V));
        const best = Math.max(...line);
        const total = line.reduce((sum, x) => sum + Math.exp(x - best), 0);
        expected[b * 11 + t] = Math.log(total) + best - line[batch.ids[b * 12 + t + 1]!]!;
      }
    }
    const want = { data: expected, dims: [2, 11] };
    expect(relativeError(await model.lossPerToken(batch), want)).toBeLessThan(1e-5);
    const hook = 'blocks.0.hook_resid_post';
    expect(
      relativeError(await model.lossPerToken(batch, { from: { hook, activations: cache[hook]! } }), want),
    ).toBeLessThan(1e-5);
    const zeros = { data: new Float32Array(cache[hook]!.data.length), dims: cache[hook]!.dims };
    const ablated = await model.lossPerToken(batch, { from: { hook, activations: zeros } });
    expect(relativeError(ablated, want)).toBeGreaterThan(0.01);
  });

  test('steering with no directions changes not one bit; with one, it adds it', async () => {
    const model = models.get(name)!;
    const batch = plain.get(name)!;
    const hook = 'blocks.0.hook_resid_post';
    const next = 'blocks.1.hook_resid_pre';
    const D = model.info.D;
    const none = { hook, directions: new Float32Array(0), strengths: new Float32Array(0) };
    const unsteered = await model.run(batch, { hooks: [next], logits: true });
    const empty = await model.run(batch, { hooks: [next], logits: true, steer: none });
    expect(empty.logits!.data).toEqual(unsteered.logits!.data);
    expect(empty.cache[next]!.data).toEqual(unsteered.cache[next]!.data);

    const directions = Float32Array.from({ length: 2 * D }, (_, i) => Math.sin(i));
    const strengths = Float32Array.of(2, -0.5);
    const steered = await model.run(batch, {
      hooks: [next],
      logits: true,
      steer: { hook, directions, strengths },
    });
    const expected = unsteered.cache[next]!.data.map(
      (x, i) => x + 2 * directions[i % D]! - 0.5 * directions[D + (i % D)]!,
    );
    expect(
      relativeError(steered.cache[next]!, { data: expected, dims: steered.cache[next]!.dims }),
    ).toBeLessThan(1e-6);
    // The same edit made by hand: replace the activations and go on.
    const byHand = await model.runFrom(next, { data: expected, dims: [1, batch.T, D] }, batch);
    expect(relativeError(steered.logits!, byHand)).toBeLessThan(1e-5);
    const again = await model.run(batch, { hooks: [next], logits: true, steer: none });
    expect(again.logits!.data).toEqual(unsteered.logits!.data);
  });

  test('greedy text is the argmax of the logits, sampling follows its seed, and both stop when told', async () => {
    const model = models.get(name)!;
    const prompt = 'The knight';
    const ids = model.tokenizer!.encodePrompt(prompt);
    for (let i = 0; i < 6; i++) {
      const { logits } = await model.run(padBatch([ids]), { logits: true });
      const last = logits!.data.subarray(logits!.data.length - model.info.V);
      ids.push(last.indexOf(Math.max(...last)));
    }
    const greedy = await model.generate(prompt, { maxNewTokens: 6 });
    expect(prompt + greedy).toBe(model.tokenizer!.decode(ids));
    const sampled = { maxNewTokens: 12, temperature: 1, topP: 0.9 };
    const one = await model.generate(prompt, { ...sampled, seed: 'a' });
    expect(await model.generate(prompt, { ...sampled, seed: 'a' })).toBe(one);
    expect(await model.generate(prompt, { ...sampled, seed: 'b' })).not.toBe(one);
    await expect(model.generate(prompt, { signal: AbortSignal.abort() })).rejects.toThrow(/abort/i);
  });

  test('asking for residual hooks changes not one bit of the logits', async () => {
    const model = models.get(name)!;
    const batch = plain.get(name)!;
    const hooks = model.hooks.map((hook) => hook.name).filter((hook) => hook.includes('resid'));
    const { logits } = await model.run(batch, { logits: true });
    expect((await model.run(batch, { hooks, logits: true })).logits!.data).toEqual(logits!.data);
  });

  test('many runs at once give what they give one after the other', async () => {
    const model = models.get(name)!;
    const batches = [5, 11, 2, 7].map((length) => padBatch([Array.from({ length }, (_, t) => 5 + t * 3)]));
    const alone = [];
    for (const batch of batches) alone.push((await model.run(batch, { logits: true })).logits!.data);
    const together = await Promise.all(batches.map((batch) => model.run(batch, { logits: true })));
    expect(together.map(({ logits }) => logits!.data)).toEqual(alone);
  });

  test('wrong requests are answered with what is right', async () => {
    const model = models.get(name)!;
    const batch = padBatch([[1, 2, 3]]);
    await expect(model.run(batch, { hooks: ['blocks.1.hook_resid_psot'] })).rejects.toThrow(
      /no hook "blocks.1.hook_resid_psot". Nearest: blocks.1.hook_resid_post/,
    );
    await expect(model.run(batch, {})).rejects.toThrow(/Nothing was asked for/);
    await expect(model.run(padBatch([[1, model.info.V]]), { logits: true })).rejects.toThrow(
      /Token id 320 at sequence 0, position 1: the vocabulary has 320/,
    );
    await expect(model.run(padBatch([Array(65).fill(5)]), { logits: true })).rejects.toThrow(
      /65 tokens do not fit the model's context of 64/,
    );
    await expect(
      model.runFrom('blocks.0.hook_resid_post', { data: new Float32Array(6), dims: [1, 3, 2] }, batch),
    ).rejects.toThrow(/are \[1, 3, 2\] with 6 elements, expected \[1, 3, 32\]/);
    await expect(
      model.run(batch, {
        logits: true,
        steer: {
          hook: 'blocks.0.hook_resid_post',
          directions: new Float32Array(8),
          strengths: Float32Array.of(1),
        },
      }),
    ).rejects.toThrow(/expected 1 x 32 = 32/);
    const huge = {
      ids: new Int32Array(40_000 * 64),
      mask: new Uint8Array(40_000 * 64).fill(1),
      B: 40_000,
      T: 64,
    };
    await expect(model.run(huge, { logits: true })).rejects.toThrow(
      /Logits \[40000, 64, 320\] would take 3.1 GiB/,
    );
    expect(() => padBatch([[1], []])).toThrow(/Sequence 1 of the batch has no tokens/);
  });
});

describe('a graph is cut after the last hook asked for', () => {
  async function graphOf(name: string): Promise<Graph> {
    const folder = await openModelFolder(await openFolder(goldenFolder(name)));
    const family = findFamily(folder.config, name);
    const graph = family.build(family.parse(folder.config, folder.weights), folder.weights);
    await folder.close();
    return graph;
  }
  const weights = (graph: Graph) => [...graph.initializers.keys()].filter((key) => key.includes('.'));

  test('layer 1 of 3 reads no later weight, no norm and no head', async () => {
    const graph = await graphOf('llama3-tied-shards');
    const cut = cutGraph(graph, ['blocks.0.hook_resid_post']);
    expect(
      weights(cut).every((key) => key.startsWith('model.layers.0.') || key === 'model.embed_tokens.weight'),
    ).toBe(true);
    expect(weights(cut)).toHaveLength(10);
    const sizes = [0, 1, 2].map((layer) => cutGraph(graph, [`blocks.${layer}.hook_resid_post`]).nodes.length);
    expect(sizes[1]! - sizes[0]!).toBe(sizes[2]! - sizes[1]!);
    expect(cutGraph(graph, ['logits']).nodes.length).toBeGreaterThan(sizes[2]!);
    expect([...cut.inputs.keys()].sort()).toEqual([
      'cos',
      'head_shape',
      'ids',
      'index',
      'mask',
      'rotary_rows',
      'sin',
    ]);
  });

  test('the embedding needs nothing but the ids', async () => {
    const cut = cutGraph(await graphOf('gpt2-new'), ['hook_embed']);
    expect([...cut.inputs.keys()]).toEqual(['ids']);
    expect(weights(cut)).toEqual(['transformer.wte.weight']);
  });

  test('a replaced hook frees everything before it', async () => {
    const graph = await graphOf('llama3-tied-shards');
    const hook = 'blocks.2.hook_resid_post';
    const cut = cutGraph(graph, ['logits'], new Map([[hook, { type: 'float32', dims: ['N', 32] }]]));
    expect([...cut.inputs.keys()]).toEqual([hook]);
    expect(weights(cut).sort()).toEqual(['model.embed_tokens.weight', 'model.norm.weight']);
  });

  test('an output that does not exist is named', async () => {
    expect(() => cutGraph({ nodes: [], inputs: new Map(), initializers: new Map() }, ['nowhere'])).toThrow(
      /no value nowhere/,
    );
  });
});

test('a closed model says so', async () => {
  const model = await openModel(goldenFolder('llama-yarn'));
  await model.close();
  await expect(model.run(padBatch([[1]]), { logits: true })).rejects.toThrow('The model was closed');
});
