// Several hooks from one model run: each is the stream of that hook alone, and running ahead changes nothing.
import { expect, test } from 'vitest';
import { byteTokenizer } from '../../test/support/tokenizers.ts';
import { memoryDocuments, packRows } from '../data/index.ts';
import type { ModelInfo, RunOptions, TokenBatch } from '../models/types.ts';
import { type ActivationStreamsOptions, createActivationStream, createActivationStreams } from './stream.ts';

const T = 16;
const WIDTHS = { 'blocks.0.hook_resid_post': 3, 'blocks.1.hook_resid_post': 5 } as const;
const hooks = Object.keys(WIDTHS) as (keyof typeof WIDTHS)[];

function fakeModel(): ActivationStreamsOptions['model'] & { runs: number } {
  const model = {
    runs: 0,
    info: { name: 'fake', bosTokenId: 1 } as ModelInfo,
    hooks: hooks.map((name) => ({ name, dims: ['B', 'T', 'D'], width: WIDTHS[name] })),
    tokenizer: byteTokenizer,
    async run({ ids, B }: TokenBatch, options: RunOptions) {
      model.runs++;
      const cache = Object.fromEntries(
        (options.hooks as (keyof typeof WIDTHS)[]).map((name) => {
          const D = WIDTHS[name];
          const data = Float32Array.from(
            { length: B * T * D },
            (_, j) => ids[Math.floor(j / D)]! * 1000 + (Math.floor(j / D) % T) * 10 + (j % D) + D / 100,
          );
          return [name, { data, dims: [B, T, D] }];
        }),
      );
      return { cache, logits: undefined };
    },
  };
  return model;
}
const texts = Array.from({ length: 40 }, (_, i) => `document ${i}: ${'ab'.repeat(i % 23)}`);
const pack = (cursor?: Parameters<typeof packRows>[0]['cursor']) =>
  packRows({
    documents: memoryDocuments(texts),
    tokenizer: byteTokenizer,
    contextLength: T,
    bosTokenId: 1,
    seed: 1,
    ...(cursor ? { cursor } : {}),
  });
const options = { shuffleTokens: 150, seed: 4, batchSequences: 3 };

test('every hook gets the rows of its stream alone, for one run of the model instead of two', async () => {
  const model = fakeModel();
  const both = createActivationStreams({ ...options, model, hooks, rows: pack() });
  const alone = hooks.map((hook) =>
    createActivationStream({ ...options, model: fakeModel(), hook, rows: pack() }),
  );
  for (let i = 0; i < 8; i++) {
    // Prepared or not, and into arrays of the caller's or not.
    if (i % 2 === 0) await both.prepare(37);
    const into = hooks.map((hook) => new Float32Array(37 * WIDTHS[hook]));
    const { xs, tokens } = (await both.next(37, i % 3 === 0 ? into : undefined))!;
    for (const [k, stream] of alone.entries()) {
      const rows = (await stream.next(37))!;
      expect(xs[k]).toEqual(rows.x);
      expect(tokens).toEqual(rows.tokens);
    }
  }
  const counted = fakeModel();
  const single = createActivationStream({ ...options, model: counted, hook: hooks[0]!, rows: pack() });
  for (let i = 0; i < 8; i++) await single.next(37);
  expect(model.runs).toBe(counted.runs);
});

test('the state of one of several hooks is the state of its stream alone, also after running ahead', async () => {
  const both = createActivationStreams({ ...options, model: fakeModel(), hooks, rows: pack() });
  for (let i = 0; i < 3; i++) await both.next(37);
  await both.prepare(90);
  const { position, arrays } = both.state();
  const saved = JSON.parse(JSON.stringify(position)) as typeof position;
  const copies = arrays.map((of) => new Map([...of].map(([name, array]) => [name, array.slice()])));

  const again = createActivationStreams({ ...options, model: fakeModel(), hooks, rows: pack(saved.cursor) });
  again.restore(saved, copies);
  const alone = hooks.map((hook, k) => {
    const stream = createActivationStream({ ...options, model: fakeModel(), hook, rows: pack(saved.cursor) });
    stream.restore(saved, copies[k]!);
    return stream;
  });
  for (let i = 0; i < 6; i++) {
    const expected = (await both.next(37))!;
    expect(await again.next(37)).toEqual(expected);
    for (const [k, stream] of alone.entries()) expect((await stream.next(37))!.x).toEqual(expected.xs[k]);
  }
});
