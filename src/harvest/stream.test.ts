import { expect, test } from 'vitest';
import { byteTokenizer } from '../../test/support/tokenizers.ts';
import { memoryDocuments, packRows } from '../data/index.ts';
import type { ModelInfo, RunOptions, TokenBatch } from '../models/types.ts';
import { createRng } from '../shared/rng.ts';
import { NonFiniteActivations } from './non-finite.ts';
import { createShuffleBuffer } from './shuffle.ts';
import { type ActivationStreamOptions, createActivationStream } from './stream.ts';
import type { ActivationRows } from './types.ts';

const T = 16;
const D = 5;
const HOOK = 'blocks.1.hook_resid_post';
/** The fake model: h = [token, position in the row, position in the batch run, token * 1000 + position, 1]. */
const closedForm = (id: number, t: number, run: number): number[] => [id, t, run, id * 1000 + t, 1];

function fakeModel(
  change: (h: Float32Array, batch: TokenBatch) => void = () => {},
): ActivationStreamOptions['model'] & { batches: number[] } {
  const batches: number[] = [];
  return {
    batches,
    info: { name: 'fake', bosTokenId: 1 } as ModelInfo,
    hooks: [
      { name: HOOK, dims: ['B', 'T', 'D'], width: D },
      { name: 'blocks.1.attn.hook_pattern', dims: ['B', 'H', 'T', 'T'], width: T },
    ],
    tokenizer: byteTokenizer,
    async run(batch: TokenBatch, options: RunOptions) {
      batches.push(batch.B);
      const data = new Float32Array(batch.B * batch.T * D);
      for (let i = 0; i < batch.B * batch.T; i++)
        data.set(closedForm(batch.ids[i]!, i % batch.T, batches.length), i * D);
      change(data, batch);
      return { cache: { [options.hooks![0]!]: { data, dims: [batch.B, batch.T, D] } }, logits: undefined };
    },
  };
}

const texts = Array.from(
  { length: 40 },
  (_, i) => `document ${i}: ${String.fromCharCode(97 + (i % 26)).repeat(i % 23)}`,
);
const pack = (extra: object = {}): ReturnType<typeof packRows> =>
  packRows({
    documents: memoryDocuments(texts),
    tokenizer: byteTokenizer,
    contextLength: T,
    bosTokenId: 1,
    seed: 1,
    ...extra,
  });

async function drain(
  stream: { next(B: number): Promise<ActivationRows | undefined> },
  B: number,
): Promise<ActivationRows[]> {
  const all: ActivationRows[] = [];
  for (let rows = await stream.next(B); rows; rows = await stream.next(B)) all.push(rows);
  return all;
}

test('a finite stream gives every token once, with the activation of its own place, no special and no padding', async () => {
  const model = fakeModel();
  const stream = createActivationStream({
    model,
    hook: HOOK,
    rows: pack({ endless: false }),
    shuffleTokens: 100,
  });
  const got = await drain(stream, 1);
  const expected = texts.flatMap((text) => byteTokenizer.encode(text)).sort((a, b) => a - b);
  expect(got.map(({ tokens }) => tokens[0]!).sort((a, b) => a - b)).toEqual(expected);
  for (const { x, tokens } of got) {
    expect(x[3]).toBe(tokens[0]! * 1000 + x[1]!);
    expect(x[0]).toBe(tokens[0]);
  }
  expect(stream.tokensSeen).toBe(expected.length);
  // Full model batches except the last.
  expect(model.batches.slice(0, -1).every((rows) => rows === 8)).toBe(true);
});

test('next(B) gives whole batches and ends with undefined when fewer than B are left', async () => {
  const total = texts.join('').length;
  const stream = createActivationStream({
    model: fakeModel(),
    hook: HOOK,
    rows: pack({ endless: false }),
    shuffleTokens: 64,
  });
  const got = await drain(stream, 64);
  expect(got.length).toBe(Math.floor(total / 64));
  expect(got.every(({ x, B }) => B === 64 && x.length === 64 * D)).toBe(true);
});

test('excludeFirst leaves out positions of the packed row, excludeSpecial: false keeps BOS', async () => {
  const rows = pack({ endless: false });
  const late = await drain(
    createActivationStream({ model: fakeModel(), hook: HOOK, rows, excludeFirst: 4, shuffleTokens: 10 }),
    1,
  );
  expect(Math.min(...late.map(({ x }) => x[1]!))).toBe(4);
  const withBos = createActivationStream({
    model: fakeModel(),
    hook: HOOK,
    rows: pack({ endless: false }),
    excludeSpecial: false,
  });
  const tokens = (await drain(withBos, 1)).map(({ tokens: [id] }) => id!);
  expect(tokens.filter((id) => id === 1).length).toBeGreaterThanOrEqual(texts.length);
});

test('shuffleTokens 0 keeps the order of the text', async () => {
  const rows = pack({ endless: false, order: 'files' });
  const got = await drain(
    createActivationStream({ model: fakeModel(), hook: HOOK, rows, shuffleTokens: 0 }),
    1,
  );
  expect(got.map(({ tokens: [id] }) => id! - 3)).toEqual([...new TextEncoder().encode(texts.join(''))]);
});

test('every batch mixes rows of many model runs, and the data starts again when it ends', async () => {
  const stream = createActivationStream({ model: fakeModel(), hook: HOOK, rows: pack(), shuffleTokens: 400 });
  for (let step = 0; step < 200; step++) {
    const { x } = (await stream.next(64))!;
    const runs = new Set(Array.from({ length: 64 }, (_, b) => x[b * D + 2]!));
    if (step > 20) expect(runs.size).toBeGreaterThanOrEqual(4);
  }
  expect(stream.epochs).toBeGreaterThan(3);
  expect(stream.stages.model).toBeGreaterThan(0);
  expect(stream.stages.data).toBeGreaterThan(0);
});

test('a row stays in the buffer for as many draws as it has rows, geometrically', () => {
  const N = 50;
  const draws = 40_000;
  const x = Float32Array.from({ length: draws + N }, (_, i) => i);
  const queue = { xs: [x], tokens: new Int32Array(draws + N), count: draws + N, next: 0 };
  const buffer = createShuffleBuffer(N, [1], createRng(3));
  buffer.fill(queue);
  const out = new Float32Array(1);
  const stays: number[] = [];
  for (let i = 0; i < draws; i++) {
    buffer.draw(queue, [out], new Int32Array(1), 0);
    if (i > 1000) stays.push(i - (out[0]! - N));
  }
  const mean = stays.reduce((sum, stay) => sum + stay, 0) / stays.length;
  expect(mean / N).toBeGreaterThan(0.95);
  expect(mean / N).toBeLessThan(1.05);
  // Geometric: a share of about 1 - 1/e has left after N draws.
  expect(stays.filter((stay) => stay <= N).length / stays.length).toBeCloseTo(1 - Math.exp(-1), 1);
});

test('same seed, same rows; another seed, other rows', async () => {
  const first = async (seed: number): Promise<Float32Array> =>
    (await createActivationStream({
      model: fakeModel(),
      hook: HOOK,
      rows: pack(),
      seed,
      shuffleTokens: 300,
    }).next(50))!.x;
  expect(await first(4)).toEqual(await first(4));
  expect(await first(4)).not.toEqual(await first(5));
});

test('a stream stopped between any two batches goes on with the same bits, from JSON and copies of its arrays', async () => {
  // The run number is process state of the fake, not of the model: leave it out of the closed form.
  const model = (): ActivationStreamOptions['model'] =>
    fakeModel((h) => {
      for (let i = 2; i < h.length; i += D) h[i] = 0;
    });
  const options = { hook: HOOK, shuffleTokens: 200, seed: 9 } as const;
  const straight = createActivationStream({ ...options, model: model(), rows: pack() });
  for (let stop = 0; stop < 12; stop++) {
    const { position, arrays } = straight.state();
    const saved = JSON.parse(JSON.stringify(position)) as typeof position;
    const copies = new Map([...arrays].map(([name, array]) => [name, array.slice()]));
    const resumed = createActivationStream({
      ...options,
      model: model(),
      rows: pack({ cursor: saved.cursor }),
    });
    resumed.restore(saved, copies);
    const ahead = [await straight.next(37), await straight.next(37)];
    expect([await resumed.next(37), await resumed.next(37)]).toEqual(ahead);
    expect(resumed.tokensSeen).toBe(straight.tokensSeen);
  }
  const { position, arrays } = straight.state();
  const smaller = createActivationStream({ ...options, shuffleTokens: 50, model: model(), rows: pack() });
  expect(() => smaller.restore(position, arrays)).toThrow(/same shuffleTokens/);
});

test('NaN and Infinity stop the stream with hook, document and likely cause', async () => {
  const error = async (change: (h: Float32Array, batch: TokenBatch) => void, skip = 0): Promise<Error> => {
    let run = 0;
    const model = fakeModel((h, batch) => {
      if (run++ >= skip) change(h, batch);
    });
    const stream = createActivationStream({
      model,
      hook: HOOK,
      rows: pack({ order: 'files' }),
      shuffleTokens: 10,
    });
    return await drain({ next: () => stream.next(10) }, 10).then(
      () => new Error('none'),
      (e: Error) => e,
    );
  };
  const overflow = await error((h) => {
    h[3 * D + 2] = Number.POSITIVE_INFINITY;
  });
  expect(overflow).toBeInstanceOf(NonFiniteActivations);
  expect(overflow.message).toMatch(
    /blocks\.1\.hook_resid_post is Infinity \(document documents#0, position 3/,
  );
  expect(overflow.message).toMatch(/65,504/);
  const broken = await error((h) => {
    h.fill(Number.NaN);
  });
  expect(broken.message).toMatch(/weights themselves probably hold NaN/);
  const later = await error((h) => {
    h[5 * D] = Number.NaN;
  }, 2);
  expect(later.message).toMatch(/Earlier activations were finite/);
  // Activations of special tokens are not used, so they may be anything: no error in whole passes over the data.
  const model = fakeModel((h, { ids }) => {
    for (let i = 0; i < ids.length; i++) if (ids[i] === 1) h.fill(Number.NaN, i * D, (i + 1) * D);
  });
  const rows = pack({ endless: false });
  expect((await drain(createActivationStream({ model, hook: HOOK, rows }), 10)).length).toBeGreaterThan(50);
});

test('the state after a failure is the state before it: with a mended model the run goes on with the same bits', async () => {
  const withoutRun = (h: Float32Array): void => {
    for (let i = 2; i < h.length; i += D) h[i] = 0;
  };
  const options = { hook: HOOK, shuffleTokens: 150, seed: 2 } as const;
  for (const failingRun of [1, 2, 4, 6]) {
    let runs = 0;
    const model = fakeModel((h) => {
      withoutRun(h);
      // In the middle of the batch: rows before it have been looked at already.
      if (++runs === failingRun) h.fill(Number.NaN, 60 * D, 64 * D);
    });
    const stream = createActivationStream({ ...options, model, rows: pack() });
    const reference = createActivationStream({ ...options, model: fakeModel(withoutRun), rows: pack() });
    let thrown: unknown;
    for (let i = 0; i < 50 && !thrown; i++) {
      const batch = await stream.next(90).catch((error: unknown) => {
        thrown = error;
      });
      if (batch) expect(batch).toEqual(await reference.next(90));
    }
    await expect(stream.next(90)).rejects.toBe(thrown);
    const { position, arrays } = stream.state();
    const mended = createActivationStream({
      ...options,
      model: fakeModel(withoutRun),
      rows: pack({ cursor: position.cursor }),
    });
    mended.restore(position, arrays);
    for (let i = 0; i < 3; i++) expect(await mended.next(90)).toEqual(await reference.next(90));
  }
});

test('an unknown hook, a hook without one vector per token, and exclusions that leave nothing', async () => {
  const make = (extra: object): unknown =>
    createActivationStream({ model: fakeModel(), hook: HOOK, rows: pack(), ...extra });
  expect(() => make({ hook: 'blocks.1.hook_resid_pots' })).toThrow(/Nearest: blocks\.1\.hook_resid_post/);
  expect(() => make({ hook: 'blocks.1.attn.hook_pattern' })).toThrow(
    /\[B,H,T,T\].*blocks\.1\.hook_resid_post/,
  );
  expect(() => make({ excludeFirst: T })).toThrow(/leaves nothing/);
  const short = packRows({
    documents: memoryDocuments(['ab']),
    tokenizer: byteTokenizer,
    contextLength: T,
    bosTokenId: 1,
    endless: true,
  });
  const specials = { ...byteTokenizer, specialIds: new Set([100, 101]) };
  const stream = createActivationStream({
    model: { ...fakeModel(), tokenizer: specials },
    hook: HOOK,
    rows: short,
  });
  await expect(stream.next(1)).rejects.toThrow(/left no token to train on/);
});
