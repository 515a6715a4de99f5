/** The text of the cached path against the slow obvious one: the whole text through the model at once. */
import { readdirSync } from 'node:fs';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import '../../platform/node.ts';
import { createRng } from '../../shared/rng.ts';
import { padBatch } from '../batch.ts';
import { openModel } from '../open.ts';
import type { Generation, Model, SteerEdit, TokenBatch } from '../types.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const golden = join(root, 'test/golden/models');
const folders = readdirSync(golden, { recursive: true, encoding: 'utf8' })
  .filter((file) => basename(file) === 'config.json' && !/^(bert|tokenizers)/.test(file))
  .map((file) => dirname(join(golden, file)));

const models: Model[] = [];
const open = async (folder: string): Promise<Model> => {
  const model = await openModel(folder, { threads: 1 });
  models.push(model);
  return model;
};
afterAll(async () => {
  await Promise.all(models.map((model) => model.close()));
});

/** The same rows with their padding on the left. */
function leftPadded({ ids, mask, B, T }: TokenBatch): TokenBatch {
  const moved = { ids: new Int32Array(B * T), mask: new Uint8Array(B * T), B, T };
  for (let b = 0; b < B; b++) {
    const length = mask.subarray(b * T, (b + 1) * T).reduce((sum, m) => sum + m, 0);
    moved.ids.set(ids.subarray(b * T, b * T + length), (b + 1) * T - length);
    moved.mask.fill(1, (b + 1) * T - length, (b + 1) * T);
  }
  return moved;
}

/** Near ties may go either way: one row takes another kernel than many. */
const MARGIN = 1e-4;

/** Every token is the likeliest one in a full pass over the finished text, and every captured activation is that pass's. */
async function check(model: Model, texts: readonly Generation[], steer?: SteerEdit): Promise<number> {
  let compared = 0;
  for (const { promptIds, ids, cache } of texts) {
    const batch = padBatch([[...promptIds, ...ids]]);
    const hooks = Object.keys(cache);
    const full = await model.run(batch, { hooks, logits: true, ...(steer ? { steer } : {}) });
    const { V } = model.info;
    ids.forEach((id, i) => {
      const at = promptIds.length + i - 1;
      const logits = full.logits!.data.subarray(at * V, (at + 1) * V);
      const best = Math.max(...logits);
      const size = Math.hypot(...logits) / Math.sqrt(V);
      expect((best - logits[id]!) / size).toBeLessThan(MARGIN);
    });
    for (const hook of hooks) {
      const [found, expected] = [cache[hook]!, full.cache[hook]!];
      expect([1, ...found.dims]).toEqual(expected.dims);
      const largest = expected.data.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
      let worst = 0;
      for (let i = 0; i < expected.data.length; i++)
        worst = Math.max(worst, Math.abs(expected.data[i]! - found.data[i]!));
      expect(worst / largest).toBeLessThan(2e-5);
      compared += found.data.length;
    }
  }
  return compared;
}

test('there are models of every family', () => {
  expect(folders.length).toBeGreaterThanOrEqual(14);
});

// In the dynamic one the angles of all tokens change with every token: a test of its own.
const steady = folders.filter((folder) => !folder.endsWith('dynamic'));
test.each(steady.map((folder) => [folder.slice(golden.length + 1), folder]))(
  '%s: greedy text and all hooks of all tokens, prompts of unequal length, steered or not',
  async (_, folder) => {
    const model = await open(folder);
    const { V, D, layers, contextLength } = model.info;
    const rng = createRng(folder.slice(golden.length));
    const length = Math.min(contextLength, 40);
    const prompts = [3, Math.ceil(length * 0.6), 1].map((n) => Array.from({ length: n }, () => rng.int(V)));
    const steer = {
      hook: `blocks.${Math.floor(layers / 2)}.hook_resid_post`,
      directions: Float32Array.from({ length: D }, () => rng.normal()),
      strengths: Float32Array.of(0.5),
    };
    const right = padBatch(prompts);
    const left = leftPadded(right);
    // Prompts go through attention in blocks where no pattern is asked for, and past the last attention just for the row that the logits
    // need where nothing there is.
    const others = model.hooks.flatMap(({ name }) => (name.endsWith('hook_pattern') ? [] : [name]));
    const behind = new RegExp(`^blocks\\.${layers - 1}\\.(hook_(attn_out|resid_mid|mlp_out|resid_post)|mlp)`);
    const before = others.filter((name) => !behind.test(name));
    for (const [batch, capture, options] of [
      [right, '*', {}],
      [left, '*', { steer }],
      [left, others, {}],
      [right, before, { steer }],
    ] as const) {
      const maxNewTokens = Math.max(1, length - Math.ceil(length * 0.6));
      const texts = await model.generateBatch(batch, { maxNewTokens, capture, ...options });
      expect(texts.map(({ promptIds }) => promptIds)).toEqual(prompts);
      expect(texts.some(({ ids }) => ids.length === maxNewTokens)).toBe(true);
      expect(Object.keys(texts[0]!.cache).length).toBe(capture === '*' ? model.hooks.length : capture.length);
      expect(await check(model, texts, 'steer' in options ? steer : undefined)).toBeGreaterThan(1000);
    }
  },
);

test('rotary positions that depend on the length: every token is that of a full pass over the text so far', async () => {
  const model = await open(join(golden, 'llama-dynamic'));
  const { V, D } = model.info;
  const hook = 'blocks.0.hook_resid_post';
  // 16 is the original context: the second prompt grows past it.
  const prompts = [
    Array.from({ length: 20 }, (_, i) => (7 * i) % V),
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
  ];
  const texts = await model.generateBatch(padBatch(prompts), { maxNewTokens: 8, capture: hook });
  for (const { promptIds, ids, cache } of texts) {
    expect(ids.length).toBe(8);
    for (let n = 0; n <= ids.length; n++) {
      const so = [...promptIds, ...ids.slice(0, n)];
      const full = await model.run(padBatch([so]), { hooks: [hook], logits: true });
      const own = cache[hook]!.data.subarray((so.length - 1) * D, so.length * D);
      const last = full.cache[hook]!.data.subarray(-D);
      for (let i = 0; i < D; i++) expect(own[i]).toBeCloseTo(last[i]!, 4);
      const logits = full.logits!.data.subarray(-V);
      if (n < ids.length) expect(Math.max(...logits) - logits[ids[n]!]!).toBeLessThan(1e-3);
    }
  }
});

test('captured activations are handed out token by token, and can end a text', async () => {
  const model = await open(join(golden, 'llama-dynamic'));
  const hook = 'blocks.0.hook_resid_post';
  const prompts = [[1, 2, 3, 4], [5, 6], [7]];
  const seen = prompts.map(() => ({ ids: [] as number[], rows: [] as number[], calls: 0 }));
  const texts = await model.generateBatch(padBatch(prompts), {
    ...{ maxNewTokens: 6, capture: hook },
    async onCapture(captured, row, ids) {
      await new Promise((resolve) => setImmediate(resolve));
      expect(captured[hook]).toHaveLength(ids.length);
      seen[row]!.ids.push(...ids);
      for (const x of captured[hook]!) seen[row]!.rows.push(...x);
      // The second text ends with its third token.
      return ++seen[row]!.calls === 4 && row === 1;
    },
  });
  for (const [row, { promptIds, ids, cache, end }] of texts.entries()) {
    expect(seen[row]!.ids).toEqual([...promptIds, ...ids]);
    expect(seen[row]!.rows).toEqual([...cache[hook]!.data]);
    expect([ids.length, end]).toEqual(row === 1 ? [3, 'stop'] : [6, 'length']);
  }
});

test('the cache grows past its first blocks', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'saekit-test-'));
  try {
    const from = join(golden, 'mistral-window');
    await cp(from, folder, { recursive: true });
    const config = JSON.parse(await readFile(join(from, 'config.json'), 'utf8'));
    await writeFile(
      join(folder, 'config.json'),
      JSON.stringify({ ...config, max_position_embeddings: 1024, eos_token_id: null }),
    );
    await rm(join(folder, 'generation_config.json'), { force: true });
    const model = await open(folder);
    // Of several pieces, one of them whole, and rows that end in another piece.
    const long = (length: number) => Array.from({ length }, (_, i) => (i * i) % model.info.V);
    const stream = 'blocks.1.hook_resid_post';
    for (const capture of [[stream, 'blocks.1.attn.hook_pattern'], [stream], ['blocks.0.hook_resid_post']]) {
      const texts = await model.generateBatch(
        padBatch([long(600), [7, 8], long(512), long(530), long(600)]),
        {
          maxNewTokens: 20,
          capture,
        },
      );
      expect(texts.map(({ ids }) => ids.length)).toEqual([20, 20, 20, 20, 20]);
      await check(model, texts);
      // From one block into the next while writing.
      const [alone] = await model.generateBatch(padBatch([long(250)]), { maxNewTokens: 20, capture });
      await check(model, [alone!]);
    }
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('a seed gives a text, alone or among others; onText and stream give it in pieces', async () => {
  const model = await open(join(root, 'demo/model'));
  const prompts = ['The meeting will be held', 'Мы читали', 'def f(x):'];
  const options = { temperature: 0.9, topP: 0.95, maxNewTokens: 24 };
  const pieces = ['', '', ''];
  const together = await model.generateBatch(prompts, {
    ...options,
    seed: [1, 2, 3],
    onText: (text, row) => {
      pieces[row] += text;
    },
  });
  expect(pieces).toEqual(together.map(({ text }) => text));
  for (const [i, prompt] of prompts.entries()) {
    const stream = model.stream(prompt, { ...options, seed: i + 1 });
    let text = '';
    let step = await stream.next();
    for (; !step.done; step = await stream.next()) text += step.value;
    expect(text).toBe(together[i]!.text);
    expect(step.value.ids).toEqual(together[i]!.ids);
  }
  expect(await model.generate(prompts[0]!, { ...options, seed: 1 })).toBe(together[0]!.text);
  expect(await model.generate(prompts[0]!, { ...options, seed: 2 })).not.toBe(together[0]!.text);
});

test('a stream that is left early stops, a signal stops before the next token', async () => {
  const model = await open(join(root, 'demo/model'));
  let pieces = 0;
  for await (const _ of model.stream('The meeting', { maxNewTokens: 200 })) if (++pieces === 3) break;
  expect(pieces).toBe(3);
  const controller = new AbortController();
  let texts = 0;
  const running = model.generate('The meeting', {
    maxNewTokens: 200,
    signal: controller.signal,
    onText: () => {
      if (++texts === 3) controller.abort(new Error('enough'));
    },
  });
  await expect(running).rejects.toThrow('enough');
  expect(texts).toBe(3);
});
