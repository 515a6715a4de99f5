import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { goldenFolder, openGolden, relativeError } from '../../test/golden/models/compare.ts';
import { padBatch } from './batch.ts';
import { openModel } from './open.ts';
import type { HookFunction, Model, Tensor } from './types.ts';

type Edit = readonly [hook: string, op: string, ...args: number[]];
const CASES = JSON.parse(readFileSync(goldenFolder('hooked-cases.json'), 'utf8')) as Record<string, Edit[]>;

/** max error over the RMS of the tensor, as for whole models. */
const TOLERANCE = 1e-5;
const NAMES = ['llama-untied', 'gpt2-new', 'neox-parallel', 'gemma2'] as const;
const models = new Map<string, Model>();
beforeAll(async () => {
  for (const name of NAMES) models.set(name, await openModel(goldenFolder(name), { threads: 1 }));
});
afterAll(async () => {
  for (const model of models.values()) await model.close();
});

/** The edits of the oracle, written again for flat row-major data. */
function functionOf([, op, first = 0, second = 0]: Edit): HookFunction {
  return ({ data, dims }) => {
    const width = dims.at(-1)!;
    if (op === 'zero') return void data.fill(0);
    if (op === 'scale') return data.map((x) => x * first);
    if (op === 'add') return { data: data.map((x, i) => x + Math.sin(i % width)), dims };
    if (op === 'diagonal') return data.map((_, i) => (i % width === Math.floor(i / width) % width ? 1 : 0));
    if (op === 'zero head') return data.map((x, i) => (Math.floor(i / width) % dims[2]! === first ? 0 : x));
    if (op === 'swap') {
      const row = dims.slice(2).reduce((a, b) => a * b, 1);
      const out = data.slice();
      for (let b = 0; b < dims[0]!; b++) {
        const [p, q] = [(b * dims[1]! + first) * row, (b * dims[1]! + second) * row];
        out.set(data.subarray(q, q + row), p);
        out.set(data.subarray(p, p + row), q);
      }
      return out;
    }
    throw new Error(op);
  };
}
const functionsOf = (edits: readonly Edit[]) =>
  Object.fromEntries(edits.map((edit) => [edit[0], functionOf(edit)]));

describe.each(NAMES)('%s with functions at its hooks', (name) => {
  test.each(Object.entries(CASES))('equals PyTorch with forward hooks: %s', async (title, edits) => {
    const model = models.get(name)!;
    // A parallel block has no middle.
    if (!edits.every(([hook]) => model.hooks.some((own) => own.name === hook))) {
      expect([name, title]).toEqual(['neox-parallel', 'add in the middle']);
      return;
    }
    const golden = await openGolden(name, 'hooked.safetensors');
    const last = model.hooks.at(-1)!.name;
    for (const group of ['plain', 'padded']) {
      const batch = await golden.batch(group);
      const logits = title === 'several';
      const result = await model.runWithHooks(batch, functionsOf(edits), { hooks: [last], logits });
      const wanted = await golden.tensor(`${group}/${title}`);
      expect(relativeError(result.cache[last]!, wanted, batch.mask)).toBeLessThan(TOLERANCE);
      if (logits)
        expect(
          relativeError(result.logits!, await golden.tensor(`${group}/logits`), batch.mask),
        ).toBeLessThan(TOLERANCE);
    }
  });

  test('functions that change nothing leave the logits, at every hook at once', async () => {
    const model = models.get(name)!;
    const batch = await (await openGolden(name)).batch('padded');
    const seen: string[] = [];
    const { cache, logits } = await model.run(batch, { hooks: model.hooks.map((h) => h.name), logits: true });
    const result = await model.runWithHooks(batch, {
      '*': async ({ data, dims }, { hook }) => {
        seen.push(hook);
        const unit = hook.endsWith('pattern') ? 1 : undefined;
        // A pattern has rows of its own for padding; everything else has one row per position.
        const mask = unit ? undefined : batch.mask;
        if (!unit) expect(relativeError({ data, dims }, cache[hook]!, mask)).toBeLessThan(TOLERANCE);
      },
    });
    expect(seen).toEqual(model.hooks.map((hook) => hook.name));
    expect(relativeError(result.logits!, logits!, batch.mask)).toBeLessThan(TOLERANCE);
  });

  test('returns the edited value at an edited hook, what is before it unchanged, and what is behind it changed', async () => {
    const model = models.get(name)!;
    const batch = await (await openGolden(name)).batch('plain');
    const [before, at, behind] = ['blocks.0.attn.hook_z', 'blocks.0.hook_mlp_out', 'blocks.1.hook_attn_out'];
    const clean = await model.run(batch, { hooks: [before!, at!, behind!] });
    const { cache } = await model.runWithHooks(
      batch,
      { [at!]: ({ data }) => data.map((x) => 3 * x) },
      { hooks: 'blocks.*', logits: false },
    );
    expect(Object.keys(cache)).toHaveLength(model.hooks.filter((h) => h.name.startsWith('blocks')).length);
    expect(relativeError(cache[before!]!, clean.cache[before!]!)).toBeLessThan(TOLERANCE);
    const tripled: Tensor = { ...clean.cache[at!]!, data: clean.cache[at!]!.data.map((x) => 3 * x) };
    expect(relativeError(cache[at!]!, tripled)).toBeLessThan(TOLERANCE);
    expect(relativeError(cache[behind!]!, clean.cache[behind!]!)).toBeGreaterThan(0.01);
  });

  test('loss is that of the logits it would return', async () => {
    const model = models.get(name)!;
    const batch = await (await openGolden(name)).batch('plain');
    const functions = { 'blocks.0.hook_attn_out': ({ data }: Tensor) => void data.fill(0) };
    const { loss, logits, cache } = await model.runWithHooks(batch, functions, { loss: true });
    expect(cache).toEqual({});
    const V = model.info.V;
    const expected = Float32Array.from({ length: batch.T - 1 }, (_, t) => {
      const line = logits!.data.subarray(t * V, (t + 1) * V);
      return Math.log(line.reduce((sum, x) => sum + Math.exp(x), 0)) - line[batch.ids[t + 1]!]!;
    });
    expect(relativeError(loss!, { data: expected, dims: [1, batch.T - 1] })).toBeLessThan(TOLERANCE);
    expect((await model.runWithHooks(batch, functions)).loss).toBeUndefined();
    const only = await model.runWithHooks(batch, functions, { loss: true, logits: false });
    expect(only.logits).toBeUndefined();
    expect(only.loss!.data).toEqual(loss!.data);
  });

  test('wrong functions are answered with what is right', async () => {
    const model = models.get(name)!;
    const batch = padBatch([[5, 6, 7]]);
    const hook = 'blocks.0.hook_attn_out';
    await expect(model.runWithHooks(batch, { 'blocks.0.hook_atn_out': () => {} })).rejects.toThrow(
      /no hook "blocks.0.hook_atn_out". Nearest: blocks.0.hook_attn_out/,
    );
    await expect(
      model.runWithHooks(batch, { [hook]: () => {}, 'blocks.*.hook_attn_out': () => {} }),
    ).rejects.toThrow(`${hook} has two functions, those of ${hook} and blocks.*.hook_attn_out`);
    await expect(model.runWithHooks(batch, { [hook]: () => new Float32Array(4) })).rejects.toThrow(
      `Activations for ${hook} are [1, 3, 32] with 4 elements, expected [1, 3, 32]`,
    );
    await expect(
      model.runWithHooks(batch, {
        [hook]: () => {
          throw new Error('mine');
        },
      }),
    ).rejects.toThrow('mine');
  });

  test('an abort stops before the next part and rejects with its reason', async () => {
    const model = models.get(name)!;
    const controller = new AbortController();
    let later = false;
    const run = model.runWithHooks(
      padBatch([[5, 6, 7]]),
      {
        'blocks.0.hook_attn_out': () => controller.abort(new Error('enough')),
        'blocks.1.hook_attn_out': () => {
          later = true;
        },
      },
      { signal: controller.signal },
    );
    await expect(run).rejects.toThrow('enough');
    expect(later).toBe(false);
  });
});

describe('hooks by pattern', () => {
  test('a star stands for any characters, a function for any rule, and each hook comes once', async () => {
    const model = models.get('llama-untied')!;
    const text = 'The knight';
    const names = async (filter: Parameters<Model['runWithCache']>[1]) =>
      Object.keys((await model.runWithCache(text, filter)).cache);
    const posts = ['blocks.0.hook_resid_post', 'blocks.1.hook_resid_post'];
    expect(await names('blocks.*.hook_resid_post')).toEqual(posts);
    expect(await names((name) => name.endsWith('resid_post'))).toEqual(posts);
    expect(await names([posts[1]!, '*resid_post'])).toEqual([posts[1], posts[0]]);
    // A dot is a dot.
    await expect(names('blocks*0hook_resid_post')).rejects.toThrow(/No hook of the model matches/);
    await expect(names('blocks.*.hook_resid_psot')).rejects.toThrow(
      /No hook of the model matches "blocks.\*.hook_resid_psot". Nearest: blocks.0.hook_resid_post/,
    );
    await expect(names(() => false)).rejects.toThrow(/accepted none of the model's 21: hook_embed/);
  });

  test('runWithCache takes token ids too', async () => {
    const model = models.get('llama-untied')!;
    const hook = 'blocks.1.hook_resid_post';
    const said = await model.runWithCache('The knight', hook);
    const given = await model.runWithCache(said.batch, hook);
    expect(given.cache[hook]!.data).toEqual(said.cache[hook]!.data);
    expect(given.batch).toBe(said.batch);
  });
});
