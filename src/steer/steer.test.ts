// Each mode against its formula, h' = h + (z' - z) d, with z of the sparse encoder. Against PyTorch: exactness.test.ts.
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import '../platform/node.ts';
import { DNA, demoModel, early as earlySae, LATE as HOOK, late } from '../../test/support/demo.ts';
import { argmax } from '../models/generation/sample.ts';
import { createWholeDecoder } from '../models/generation/whole-decoder.ts';
import { openModel, padBatch } from '../models/index.ts';
import type { Intervention } from '../models/steering/types.ts';
import type { Model, TokenBatch } from '../models/types.ts';
import { getPlatform } from '../platform/index.ts';
import { encode, latentColumn, loadSae } from '../sae/index.ts';
import type { Sae } from '../sae/types.ts';
import { UsageError } from '../shared/errors.ts';
import { type InterventionSpec, inRows, steer } from './index.ts';

const { D } = demoModel;
const PROMPT = 'The meeting will be held';
const TEXT = 'The meeting will be held in ACGTACGTTTAAGC 12 * 3 = 36';

let model: Model;
let sae: Sae;
let batch: TokenBatch;
/** [T,D] */
let h: Float32Array;
/** A latent that is on at some tokens, and its z [T]. */
let latent: number;
let z: Float32Array;

beforeAll(async () => {
  model = await openModel('demo/model', { threads: 1 });
  sae = await loadSae(late.path);
  const { cache, batch: found } = await model.runWithCache(TEXT, HOOK);
  batch = found;
  h = cache[HOOK]!.data;
  const code = await encode(sae, h);
  // One that the bounds below cut more than once.
  const loud = (f: number) => latentColumn(code, f).filter((value) => value > 9).length;
  latent = [...new Set(code.indices)].toSorted((a, b) => loud(b) - loud(a))[0]!;
  z = latentColumn(code, latent);
}, 60_000);
afterAll(() => model.close());

async function rows(specs: readonly InterventionSpec[]): Promise<Float32Array> {
  const interventions = await steer(model, specs);
  return (await model.run(batch, { hooks: [HOOK], interventions })).cache[HOOK]!.data;
}

/** max |a - b| / max |b| */
function difference(a: Float32Array, b: Float32Array): number {
  let [most, size] = [0, 0];
  for (const [i, value] of b.entries()) {
    most = Math.max(most, Math.abs(a[i]! - value));
    size = Math.max(size, Math.abs(value));
  }
  return most / size;
}

/** h + (change(z) - z) d */
const expected = (change: (z: number) => number) =>
  h.map((value, i) => {
    const at = z[Math.floor(i / D)]!;
    return value + (change(at) - at) * sae.W_dec[latent * D + (i % D)]!;
  });

describe('one latent', () => {
  test.each([
    [{ mode: 'add', value: 3 }, (z: number) => z + 3],
    [{ mode: 'clamp', value: 3 }, () => 3],
    [{ mode: 'scale', value: -2 }, (z: number) => -2 * z],
    [{ mode: 'zero' }, () => 0],
    [{ mode: 'at-least', value: 10 }, (z: number) => Math.max(z, 10)],
    [{ mode: 'at-most', value: 10 }, (z: number) => Math.min(z, 10)],
    [{ mode: 'suppress', above: 9 }, (z: number) => (z > 9 ? 0 : z)],
  ] as const)('%o', async (spec, change) => {
    expect([...z].filter((value) => value > 9).length).toBeGreaterThan(1);
    expect(difference(await rows([{ sae, latent, specials: true, ...spec }]), expected(change))).toBeLessThan(
      1e-6,
    );
  });
});

test('a latent at its mean over another text; a whole hook at its mean, and as it was there', async () => {
  const text = '12 * 3 = 36 ACGTACGT';
  const { cache, batch: there } = await model.runWithCache(text, HOOK);
  const other = cache[HOOK]!.data;
  const mean = (values: (t: number) => number): number => {
    let sum = 0;
    // BOS stands first and is left out.
    for (let t = 1; t < there.T; t++) sum += values(t);
    return sum / (there.T - 1);
  };
  const zs = latentColumn(await encode(sae, other), latent);
  const found = await rows([{ sae, latent, mode: 'mean', text, specials: false }]);
  const one = expected(() => mean((t) => zs[t]!));
  expect(difference(found.subarray(D), one.subarray(D))).toBeLessThan(1e-6);
  expect(found.subarray(0, D)).toEqual(h.subarray(0, D));

  const whole = await rows([{ hook: HOOK, mode: 'mean', text }]);
  const row = Float32Array.from({ length: D }, (_, d) => mean((t) => other[t * D + d]!));
  for (let t = 1; t < batch.T; t++)
    expect(difference(whole.subarray(t * D, (t + 1) * D), row)).toBeLessThan(1e-6);
  const patched = await rows([{ hook: HOOK, mode: 'patch', text, positions: [[2, 5]] }]);
  const both = h.slice();
  both.set(other.subarray(2 * D, 5 * D), 2 * D);
  expect(patched).toEqual(both);
});

test('strength 0 changes not one bit of the session that can be steered, nor the greedy text', async () => {
  const none = await model.run(batch, { logits: true, interventions: [] });
  const zero = await model.run(batch, {
    logits: true,
    interventions: await steer(model, [{ sae, latent, value: 0 }]),
  });
  expect(zero.logits!.data).toEqual(none.logits!.data);
  const plain = await model.run(batch, { logits: true });
  expect(difference(none.logits!.data, plain.logits!.data)).toBeLessThan(1e-5);
  const options = { maxNewTokens: 24 };
  const text = await model.generate(PROMPT, { ...options, interventions: [] });
  expect(text).toBe(await model.generate(PROMPT, options));
});

/** How many sessions the engine is asked for while `body` runs. */
async function sessionsOpened(body: () => Promise<unknown>): Promise<number> {
  const create = vi.spyOn(getPlatform().ort.InferenceSession, 'create');
  try {
    await body();
    return create.mock.calls.length;
  } finally {
    create.mockRestore();
  }
}

test('no change of features, strengths, modes, positions or rules opens a session, nor does going back to a layer', async () => {
  const early = await loadSae(earlySae.path);
  const write = async (...specs: InterventionSpec[]): Promise<string> =>
    await model.generate(PROMPT, { maxNewTokens: 3, interventions: await steer(model, specs) });
  await write({ sae, latent: DNA, value: 1 }, { sae: early, latent: 3, value: 1 });
  const opened = await sessionsOpened(async () => {
    await write({ sae, latent: DNA, mode: 'clamp', value: 60 });
    await write({ sae, latent: 12, mode: 'scale', value: 0.5, positions: 'generated' });
    await write(
      ...Array.from({ length: 64 }, (_, i) => ({
        sae,
        latent: i,
        value: 1,
        positions: [[-2, null]] as const as [number, null][],
      })),
    );
    await write({ sae: early, latent: 5, mode: 'zero', keepError: false });
    await write({ sae, latent: 7, mode: 'clamp', value: 9, when: { sae: early, latent: 5, above: 0 } });
    await write({ vector: sae.W_dec.slice(0, sae.config.D), hook: HOOK, mode: 'zero' });
    await write();
  });
  expect(opened).toBe(0);
});

test('rows of a batch are each changed as their texts are alone, also when other rows have ended', async () => {
  const early = await loadSae(earlySae.path);
  const sets = [
    await steer(model, [{ sae, latent: DNA, mode: 'clamp', value: 200 }]),
    [],
    await steer(model, [
      { sae: early, latent: 5, value: 200, positions: 'generated' },
      { vector: sae.W_dec.slice(0, D), hook: HOOK, mode: 'zero' },
    ]),
  ];
  const prompts = [PROMPT, '12 * 3 =', 'Der Zug'];
  const alone: string[] = [];
  for (const [i, interventions] of sets.entries())
    alone.push(await model.generate(prompts[i]!, { maxNewTokens: 16, interventions }));
  expect(new Set(alone).size).toBe(3);
  const interventions = sets.flatMap((set, i) => inRows(set, [i, i + 1]));
  const together = await model.generateBatch(prompts, { maxNewTokens: 16, interventions });
  expect(together.map(({ text }) => text)).toEqual(alone);
  // The first row ends after its first token; the others move up.
  const stop = alone[0]!.slice(0, 1);
  const others = prompts.map((prompt, i) => (i === 0 ? PROMPT : prompt));
  const cut = await model.generateBatch(others, { maxNewTokens: 16, interventions, stop });
  expect(cut[0]!.text).toBe('');
  for (const [i, { text }] of cut.entries()) expect(text).toBe(alone[i]!.split(stop)[0]);

  // Without a cache, and rows of a plain run.
  const { hooks, run } = model;
  const batch = padBatch(prompts.map((prompt) => model.tokenizer!.encode(prompt, { bos: true })));
  const whole = (await run(batch, { logits: true, interventions })).logits!;
  for (const [i, set] of sets.entries()) {
    const one = padBatch([model.tokenizer!.encode(prompts[i]!, { bos: true })]);
    const { logits } = await run(one, { logits: true, interventions: set });
    const { V } = model.info;
    const from = i * batch.T * V;
    expect(difference(whole.data.slice(from, from + one.T * V), logits!.data)).toBeLessThan(1e-4);
  }
  const decoder = createWholeDecoder(
    {
      ...{ run, headLogits: model.headLogits, last: `blocks.${demoModel.layers - 1}.hook_resid_post` },
      ...{ D, V: model.info.V, hooks: hooks.slice(0, 0), steer: undefined, interventions },
    },
    3,
  );
  const ids = prompts.map((prompt) => model.tokenizer!.encode(prompt, { bos: true }));
  const first = await decoder.advance(ids);
  const greedy = (at: readonly { logits: Float32Array }[]) => at.map(({ logits }) => argmax(logits));
  const begun = greedy(first);
  expect(begun).toEqual(together.map(({ ids: written }) => written[0]));
  decoder.keep([1, 2]);
  const second = greedy(await decoder.advance(begun.slice(1).map((id) => [id])));
  expect(second).toEqual(together.slice(1).map(({ ids: written }) => written[1]));
});

test('texts that are written at the same time with different changes are those written alone', async () => {
  const fresh = await openModel('demo/model', { threads: 1 });
  const early = await loadSae(earlySae.path);
  try {
    const changes = await Promise.all([
      steer(fresh, []),
      steer(fresh, [{ sae, latent: DNA, mode: 'clamp', value: 300 }]),
      steer(fresh, [{ sae: early, latent: 5, value: 300 }]),
    ]);
    const write = (on: Model, interventions: Intervention[]) =>
      on.generate(PROMPT, { maxNewTokens: 8, interventions });
    // The last one adds a place to the bus while the others are being written.
    let together: string[] = [];
    const opened = await sessionsOpened(async () => {
      together = await Promise.all(changes.map((one) => write(fresh, one)));
    });
    expect(opened).toBeLessThanOrEqual(3);
    const alone = [];
    for (const one of changes) alone.push(await write(model, one));
    expect(together).toEqual(alone);
    expect(new Set(alone).size).toBe(3);
  } finally {
    await fresh.close();
  }
});

describe('a rule on another SAE at the same hook', () => {
  const NEXT = (DNA + 1) % late.F;
  const other = (): Sae => {
    const { F, metadata } = sae.config;
    return {
      ...{ ...sae, config: { D, F, metadata, architecture: 'jumprelu' } },
      threshold: new Float32Array(F).fill(1),
    };
  };

  test('is the formula of it, in any order of the changes, and where both look at each other', async () => {
    const jump = other();
    const zs = latentColumn(await encode(jump, h), latent);
    const holds = (values: Float32Array, i: number) => values[Math.floor(i / D)]! > 9;
    expect([zs.some((value) => value > 9), zs.every((value) => value > 9)]).toEqual([true, false]);
    const [d, e] = [DNA, NEXT].map((j) => sae.W_dec.subarray(j * D, (j + 1) * D));
    const ruled = { sae, latent: DNA, value: 8, specials: true, when: { sae: jump, latent, above: 9 } };
    const back = { sae: jump, latent: NEXT, value: 5, specials: true, when: { sae, latent, above: 9 } };
    const nothing = { sae: jump, latent: 3, value: 0 };
    const one = h.map((value, i) => value + (holds(zs, i) ? 8 * d![i % D]! : 0));
    for (const specs of [[ruled], [nothing, ruled], [ruled, nothing]])
      expect(difference(await rows(specs), one)).toBeLessThan(1e-6);
    const both = one.map((value, i) => value + (holds(z, i) ? 5 * e![i % D]! : 0));
    for (const specs of [
      [ruled, back],
      [back, ruled],
    ])
      expect(difference(await rows(specs), both)).toBeLessThan(1e-6);
  });

  test('holds beside one in place of the activations, whose own change it rules', async () => {
    const jump = other();
    const zs = latentColumn(await encode(jump, h), latent);
    const splice = { sae, mode: 'splice', specials: true } as const;
    const [plain, steered] = [
      await rows([splice]),
      await rows([
        splice,
        { sae, latent: DNA, value: 8, specials: true, when: { sae: jump, latent, above: 9 } },
        { sae: jump, latent: 3, value: 0 },
      ]),
    ];
    const by = plain.map(
      (value, i) => value + (zs[Math.floor(i / D)]! > 9 ? 8 * sae.W_dec[DNA * D + (i % D)]! : 0),
    );
    expect(difference(steered, by)).toBeLessThan(1e-6);
  });
});

describe('what cannot be is refused', () => {
  const bare = () => ({ ...sae, config: { ...sae.config, metadata: { ...sae.config.metadata } } });
  test.each([
    [
      'a latent that is not there',
      { latent: late.F },
      new RegExp(`Latent ${late.F} is not there: the SAE at ${HOOK}.* has latents 0 to ${late.F - 1}`),
    ],
    [
      'a strength beyond the bound',
      { latent: 1, value: 1e39 },
      new RegExp(`add of latent 1 at ${HOOK}: the value is 1e\\+39; expected a number from -1000000 to`),
    ],
    [
      'a product beyond the bound',
      { latent: 1, value: 1e5, unit: 'max', max: 100 },
      /the value is 10000000; expected/,
    ],
    ['no number', { latent: 1, value: Number.NaN }, /the value is NaN; expected/],
    [
      'a rule beyond float32',
      { latent: 1, mode: 'suppress', above: 1e39 },
      /above of latent 1 .* not a finite/,
    ],
    [
      'a range without tokens',
      { latent: 1, value: 1, positions: [[5, 2]] },
      /positions \[5, 2\) has no token/,
    ],
    ['a splice of one latent', { latent: 1, mode: 'splice' }, /splice takes a whole SAE.* found latent 1/],
    [
      'a splice of a direction',
      { sae: undefined, vector: new Float32Array(D), hook: HOOK, mode: 'splice' },
      /found a direction/,
    ],
    [
      'the mean of no token',
      { latent: 1, mode: 'mean', text: '' },
      /mean of "": all of its 1 tokens are special ones.*or set `specials`/,
    ],
    [
      'the mean of special tokens at a whole hook',
      { sae: undefined, hook: HOOK, mode: 'mean', text: '<|bos|>' },
      /mean of "<\|bos\|>": all of its 2 tokens are special/,
    ],
    ['an unknown scale', { latent: 1, value: 2, unit: 'max' }, /largest activation is not known/],
    ['no value', { latent: 1, mode: 'clamp' }, /clamp of latent 1 .* needs a value/],
    [
      'another hook',
      { latent: 1, value: 1, hook: 'blocks.1.mlp.hook_post' },
      new RegExp(`width ${D}, but blocks\\.1\\.mlp\\.hook_post of .* width ${demoModel.mlp}`),
    ],
    ['a direction without place', { sae: undefined, vector: new Float32Array(D), value: 1 }, /needs `hook`/],
    [
      'no direction',
      { sae: undefined, vector: new Float32Array(D), hook: HOOK, mode: 'zero' },
      /has length 0/,
    ],
    [
      'a factor with a unit',
      { latent: 1, mode: 'scale', value: 2, unit: 'max', max: 3 },
      /scale of latent 1 .* takes a factor, which has no unit/,
    ],
    [
      'a direction of another model',
      {
        sae: undefined,
        vector: new Float32Array(D).fill(1),
        hook: HOOK,
        value: 1,
        vectorModel: 'e'.repeat(64),
      },
      /made on a model with hash eeeeeeeeeeee….*; .*model has .*--allow-wrong/,
    ],
    [
      'two rules',
      { latent: 1, mode: 'suppress', when: { latent: 2, above: 1 } },
      /suppress has a rule of its own/,
    ],
  ] as const)('%s', async (_, spec, message) => {
    await expect(steer(model, [{ sae, ...spec } as InterventionSpec])).rejects.toThrow(message);
  });

  test('an SAE of another model; both are named', async () => {
    const other = bare();
    other.config.metadata.model_hash = 'f'.repeat(64);
    other.config.metadata.model_name = 'org/other';
    await expect(steer(model, [{ sae: other, latent: 1, value: 1 }])).rejects.toThrow(
      /trained on org\/other with hash ffffffffffff.*; .*model has /,
    );
  });

  test('a rule that looks at a later layer, and two SAEs in place of one hook', async () => {
    const early = await loadSae(earlySae.path);
    const late = await steer(model, [
      { sae: early, latent: 1, value: 1, when: { sae, latent: 2, above: 0 } },
    ]);
    await expect(model.generate(PROMPT, { interventions: late })).rejects.toThrow(/computed later/);
    const twice = await steer(model, [
      { sae, mode: 'splice' },
      { sae: bare(), mode: 'splice' },
    ]);
    await expect(model.generate(PROMPT, { interventions: twice })).rejects.toThrow(/replaced twice/);
    await expect(model.generate(PROMPT, { interventions: twice })).rejects.toThrow(UsageError);
  });
});
