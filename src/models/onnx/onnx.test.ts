/** ONNX files that other programs exported, against PyTorch's numbers for the same weights (test/oracles/onnx). */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { relativeError } from '../../../test/golden/models/compare.ts';
import { readSafetensors } from '../../formats/index.ts';
import { fromBytes } from '../../platform/index.ts';
import '../../platform/node.ts';
import { folderFromBytes } from '../../platform/memory.ts';
import { padBatch } from '../batch.ts';
import { openModel } from '../open.ts';
import type { Intervention } from '../steering/types.ts';
import type { Model, Tensor } from '../types.ts';
import { openOnnx } from './any.ts';

/** As in make_onnx.py. */
const ROWS = [
  [3, 14, 15, 9, 26, 5],
  [35, 8, 9, 7],
];

const path = (name: string): string =>
  fileURLToPath(new URL(`../../../test/golden/onnx/${name}`, import.meta.url));
const open = (name: string): Promise<Model> => openModel(path(`${name}/model.onnx`));

/** Golden name without its row -> one tensor per row. */
async function golden(name: string): Promise<Map<string, Tensor[]>> {
  const file = await readSafetensors(fromBytes(await readFile(path(`${name}/golden.safetensors`))));
  const found = new Map<string, Tensor[]>();
  for (const key of [...file.tensors.keys()].sort()) {
    const [row, place] = [Number(key[0]), key.slice(2)];
    const tensor = { data: await file.readFloat32(key), dims: file.tensors.get(key)!.shape };
    found.set(place, Object.assign(found.get(place) ?? [], { [row]: tensor }));
  }
  return found;
}

/** One row of a padded batch, its padding cut off. */
function rowOf({ data, dims }: Tensor, row: number, length: number): Tensor {
  const [, T = 0, width = 0] = dims;
  return { data: data.slice(row * T * width, (row * T + length) * width), dims: [length, width] };
}

/** The largest error of each place over its RMS; rows run together, padded, or one by one. */
async function errors(model: Model, expected: Map<string, Tensor[]>, together: boolean) {
  const hooks = [...expected.keys()].filter((place) => place !== 'logits');
  const logits = expected.has('logits');
  const groups = together ? [ROWS] : ROWS.map((row) => [row]);
  const found = new Map<string, number>();
  for (const [g, group] of groups.entries()) {
    const result = await model.run(padBatch(group), { hooks, logits });
    for (const [place, rows] of expected)
      for (const [r, ids] of group.entries()) {
        const all = place === 'logits' ? result.logits! : result.cache[place]!;
        const error = relativeError(rowOf(all, r, ids.length), rows[together ? r : g]!);
        found.set(place, Math.max(found.get(place) ?? 0, error));
      }
  }
  return found;
}

describe('hooks that were found by structure carry what PyTorch computes there', () => {
  // Half precision rounds weights and activations to 11 bits. Dynamic quantisation takes its scales from the whole batch, so its rows run alone.
  test.each([
    ['gpt2', 11, 1e-5, true],
    ['gpt2-past', 11, 1e-5, true],
    ['llama', 11, 1e-5, true],
    ['bert', 10, 1e-5, true],
    ['neox', 5, 1e-5, true],
    ['gpt2-fused', 7, 1e-5, true],
    ['bert-fused', 10, 1e-5, true],
    ['llama-f16', 11, 5e-3, true],
    ['llama-int8', 2, 1e-5, false],
  ])('%s', async (name, places, tolerance, together) => {
    const model = await open(name);
    const found = await errors(model, await golden(name), together);
    expect(found.size).toBe(places);
    expect(Object.fromEntries([...found].filter(([, error]) => !(error <= tolerance)))).toEqual({});
    await model.close();
  });
});

describe('a model from an ONNX file', () => {
  test('says what it is', async () => {
    const model = await open('llama');
    expect(model.info).toMatchObject({
      family: 'onnx',
      ...{ D: 16, layers: 2, heads: 4, kvHeads: 2, headDim: 4, V: 48, contextLength: 32 },
      encoder: false,
      eosTokenIds: [1],
    });
    // 2 x 48 x 16 of embedding and head, per layer 2 x 16^2 + 2 x 16 x 8 of attention, 3 x 16 x 24 of the MLP and two norms, one at the end.
    expect(model.info.parameters).toBeGreaterThanOrEqual(2 * 768 + 2 * (768 + 1152 + 32) + 16);
    await model.close();
  });

  /** gpt2-past with files beside it, each a JSON value. */
  const opened = async (beside: Record<string, unknown>) => {
    const files = new Map<string, Uint8Array>([['model.onnx', await readFile(path('gpt2-past/model.onnx'))]]);
    for (const [name, value] of Object.entries(beside))
      files.set(name, new TextEncoder().encode(JSON.stringify(value)));
    return await openModel(folderFromBytes('beside', files, 'model.onnx'), { threads: 1 });
  };

  test.each([
    [{ 'config.json': { eos_token_id: 7 } }, [7]],
    [{ 'config.json': { eos_token_id: 7 }, 'generation_config.json': { do_sample: true } }, [7]],
    [{ 'config.json': { eos_token_id: 7 }, 'generation_config.json': { eos_token_id: [8, 9] } }, [8, 9]],
    [{ 'config.json': { text_config: { eos_token_id: 6 } }, 'generation_config.json': {} }, [6]],
    [{}, []],
  ])('ends at the tokens of generation_config.json, else of config.json: %j', async (beside, ends) => {
    const model = await opened(beside);
    expect(model.info.eosTokenIds).toEqual(ends);
    await model.close();
  });

  test('refuses the tokenizer of a larger vocabulary', async () => {
    const tokenizer = fileURLToPath(
      new URL('../../../test/golden/models/tokenizers/llama3/tokenizer.json', import.meta.url),
    );
    const foreign = { 'tokenizer.json': JSON.parse(await readFile(tokenizer, 'utf8')) };
    await expect(opened(foreign)).rejects.toThrow(
      /^beside\/model\.onnx: tokenizer\.json has 900 tokens and the model's vocabulary 48: they do not belong together/,
    );
  });

  test.each(['llama', 'gpt2', 'gpt2-past', 'neox'])(
    '%s is steered: h + (3 - h . u) u at every token, and + 2 v at the middle two',
    async (name) => {
      const model = await open(name);
      const hook = 'blocks.0.hook_resid_post';
      const batch = padBatch([
        [5, 6, 7, 8],
        [1, 2, 3, 4],
      ]);
      const { D } = model.info;
      const v = Float32Array.from({ length: D }, (_, d) => Math.sin(d + 1));
      const u = v.map((x) => x / Math.hypot(...v));
      const free = { least: Number.NEGATIVE_INFINITY, most: Number.POSITIVE_INFINITY };
      const common = { writes: hook, reads: hook, except: new Set<number>() };
      const interventions: Intervention[] = [
        { ...common, direction: v, change: { ...free, scale: 1, shift: 2 }, positions: [[1, 3]] },
        { ...common, direction: u, change: { ...free, scale: 0, shift: 3 }, positions: 'all' },
      ];
      const [h, found] = [
        (await model.run(batch, { hooks: [hook] })).cache[hook]!.data,
        (await model.run(batch, { hooks: [hook], interventions })).cache[hook]!.data,
      ];
      const expected = h.map((value, i) => {
        const [n, d] = [Math.floor(i / D), i % D];
        const z = u.reduce((sum, x, j) => sum + x * h[n * D + j]!, 0);
        return value + (3 - z) * u[d]! + (n % 4 === 1 || n % 4 === 2 ? 2 * v[d]! : 0);
      });
      expect(relativeError({ data: found, dims: [8, D] }, { data: expected, dims: [8, D] })).toBeLessThan(
        1e-5,
      );
      await model.close();
    },
  );

  test('says how it is quantised, where it is', async () => {
    const [int8, float] = [await open('llama-int8'), await open('llama')];
    expect([int8.info.quantization, float.info.quantization]).toEqual([
      'int8 products, int8 weights',
      undefined,
    ]);
    await Promise.all([int8.close(), float.close()]);
  });

  test('goes on from a hook: the splice of its own activations changes no bit, that of others does', async () => {
    const model = await open('gpt2');
    const batch = padBatch(ROWS);
    const hook = 'blocks.0.hook_resid_post';
    const { cache, logits } = await model.run(batch, { hooks: [hook], logits: true });
    const own = await model.runFrom(hook, cache[hook]!, batch);
    expect(own).toEqual(logits);
    const half = { ...cache[hook]!, data: cache[hook]!.data.map((x) => x / 2) };
    expect(relativeError(await model.runFrom(hook, half, batch), own)).toBeGreaterThan(0.1);
    await model.close();
  });

  test('its loss is that of its logits, padding left out', async () => {
    const model = await open('gpt2-past');
    const batch = padBatch(ROWS);
    const { logits } = await model.run(batch, { logits: true });
    const loss = await model.lossPerToken(batch);
    const expected = ROWS.flatMap((row, b) =>
      Array.from({ length: 5 }, (_, t) => {
        if (row[t + 1] === undefined) return 0;
        const scores = logits!.data.subarray((b * 6 + t) * 48, (b * 6 + t + 1) * 48);
        const total = scores.reduce((sum, x) => sum + Math.exp(x), 0);
        return Math.log(total) - scores[row[t + 1]!]!;
      }),
    );
    expect(loss.dims).toEqual([2, 5]);
    for (const [i, value] of expected.entries()) expect(loss.data[i]).toBeCloseTo(value, 5);
    await model.close();
  });

  test('any tensor is a hook by its own name, and is the same value under both names', async () => {
    const model = await open('llama');
    const own = '/model/layers.0/Add_1_output_0';
    const named = 'blocks.0.hook_resid_post';
    const { cache } = await model.run(padBatch(ROWS), { hooks: [own, named] });
    expect(cache[own]).toEqual(cache[named]);
    expect(model.hooks.find(({ name }) => name === '/model/layers.0/mlp/act_fn/Mul_output_0')).toEqual({
      name: '/model/layers.0/mlp/act_fn/Mul_output_0',
      dims: ['B', 'T', '24'],
      width: 24,
    });
    await model.close();
  });

  test.each(['llama', 'llama-f16'])(
    '%s: steering adds the direction there and nowhere before',
    async (name) => {
      const model = await open(name);
      const batch = padBatch([ROWS[0]!]);
      const [before, at, after] = [
        'blocks.0.hook_resid_mid',
        'blocks.0.hook_resid_post',
        'blocks.1.hook_resid_mid',
      ];
      const directions = Float32Array.from({ length: 16 }, (_, i) => (i % 3) - 1);
      const hooks = [before!, at!, after!];
      const plain = await model.run(batch, { hooks });
      const steered = await model.run(batch, {
        hooks,
        steer: { hook: at!, directions, strengths: Float32Array.of(4) },
      });
      expect(steered.cache[before!]).toEqual(plain.cache[before!]);
      const moved = plain.cache[at!]!.data.map((x, i) => x + 4 * directions[i % 16]!);
      expect(relativeError(steered.cache[at!]!, { ...plain.cache[at!]!, data: moved })).toBeLessThan(2e-3);
      expect(relativeError(steered.cache[after!]!, plain.cache[after!]!)).toBeGreaterThan(0.5);
      await model.close();
    },
  );

  test('functions at hooks: a branch that is put out leaves the skip', async () => {
    const model = await open('llama');
    const { cache } = await model.runWithHooks(
      padBatch(ROWS),
      { 'blocks.1.hook_attn_out': ({ data }) => void data.fill(0) },
      { hooks: ['blocks.1.hook_resid_pre', 'blocks.1.hook_resid_mid'] },
    );
    expect(cache['blocks.1.hook_resid_mid']).toEqual(cache['blocks.1.hook_resid_pre']);
    await model.close();
  });

  test('an encoder has hooks and refuses logits', async () => {
    const model = await open('bert');
    await expect(model.run(padBatch(ROWS), { logits: true })).rejects.toThrow(/predicts no next token/);
    await expect(model.lossPerToken(padBatch(ROWS))).rejects.toThrow(/predicts no next token/);
    await model.close();
  });

  test('writes text as its logits say, and returns the activations of every token', async () => {
    const model = await open('gpt2-past');
    const capture = 'blocks.1.hook_resid_post';
    const [written] = await model.generateBatch(padBatch([ROWS[0]!]), { maxNewTokens: 4, capture });
    const ids = [...written!.promptIds, ...written!.ids];
    expect(ids.length).toBeGreaterThan(6);
    const { logits, cache } = await model.run(padBatch([ids]), { logits: true, hooks: [capture] });
    for (let t = 5; t < ids.length - 1; t++) {
      const scores = logits!.data.subarray(t * 48, (t + 1) * 48);
      expect(scores.indexOf(Math.max(...scores))).toBe(ids[t + 1]);
    }
    const { data } = written!.cache[capture]!;
    expect(
      relativeError({ data, dims: [1, ...written!.cache[capture]!.dims] }, cache[capture]!),
    ).toBeLessThan(1e-5);
    await model.close();
  });

  test('runs from bytes, as in a browser', async () => {
    const files = new Map<string, Uint8Array>();
    for (const file of ['model.onnx', 'model.onnx_data', 'config.json'])
      files.set(file, await readFile(path(`llama/${file}`)));
    const model = await openModel(folderFromBytes('upload', files, 'model.onnx'));
    const fromDisk = await open('llama');
    const hooks = ['blocks.1.hook_resid_post'];
    expect(await model.run(padBatch(ROWS), { hooks })).toEqual(await fromDisk.run(padBatch(ROWS), { hooks }));
    expect(model.info.hash).toBe(fromDisk.info.hash);
    await model.close();
    await fromDisk.close();
  });
});

describe('openOnnx: any file, any inputs', () => {
  const feeds = (ids: number[]) => ({
    input_ids: { data: ids, dims: [1, ids.length] },
    attention_mask: { data: ids.map(() => 1), dims: [1, ids.length] },
    token_type_ids: { data: ids.map(() => 0), dims: [1, ids.length] },
  });

  test('fetches, replaces and adds by name', async () => {
    const file = await openOnnx(path('bert/model.onnx'));
    expect(file.inputs.map(({ name }) => name)).toEqual(['input_ids', 'attention_mask', 'token_type_ids']);
    const hook = 'blocks.0.hook_normalized_resid_post';
    const end = 'last_hidden_state';
    const plain = await file.run(feeds(ROWS[0]!), { fetch: [hook, end] });
    const expected = await golden('bert');
    expect(relativeError({ ...plain[hook]!, dims: [6, 16] }, expected.get(hook)![0]!)).toBeLessThan(1e-5);
    const direction = new Float32Array(16).fill(0).with(3, 2);
    const added = await file.run(feeds(ROWS[0]!), { fetch: [end], add: { at: hook, direction } });
    const moved = { ...plain[hook]!, data: plain[hook]!.data.map((x, i) => x + (i % 16 === 3 ? 2 : 0)) };
    const replaced = await file.run(feeds(ROWS[0]!), { fetch: [end], replace: { [hook]: moved } });
    expect(relativeError(added[end]!, replaced[end]!)).toBeLessThan(1e-6);
    expect(relativeError(added[end]!, plain[end]!)).toBeGreaterThan(0.1);
    await file.close();
  });

  test('says what is wrong with a name, an input, a size', async () => {
    const file = await openOnnx(path('bert/model.onnx'));
    const fed = feeds(ROWS[0]!);
    await expect(file.run(fed, { fetch: ['blocks.0.resid_post'] })).rejects.toThrow(
      /no tensor "blocks.0.resid_post". Nearest: blocks.0.hook_resid_post/,
    );
    await expect(file.run({ ...fed, ids: fed.input_ids }, { fetch: ['last_hidden_state'] })).rejects.toThrow(
      /no input "ids"; it has input_ids/,
    );
    const short = { ...fed, input_ids: { data: [1], dims: [1, 6] } };
    await expect(file.run(short, { fetch: ['last_hidden_state'] })).rejects.toThrow(
      /6 elements, and 1 were given/,
    );
    const { input_ids } = fed;
    await expect(file.run({ input_ids }, { fetch: ['last_hidden_state'] })).rejects.toThrow(/needs an input/);
    await file.close();
  });
});
