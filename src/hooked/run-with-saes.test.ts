import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import '../platform/node.ts';
import { relativeError } from '../../test/golden/models/compare.ts';
import { root } from '../../test/repository.ts';
import { demoModel, early, EARLY as FIRST, late, LATE as SECOND } from '../../test/support/demo.ts';
import { memoryDocuments, packRows } from '../data/index.ts';
import { evaluate, saeCandidate } from '../eval/index.ts';
import { openModel, padBatch } from '../models/index.ts';
import type { Model } from '../models/types.ts';
import { decode, editLatent, encode, loadSae, type Sae } from '../sae/index.ts';
import { createRng } from '../shared/rng.ts';
import { type CodeEdit, runWithSaes, type SaesOptions } from './run-with-saes.ts';

const TEXTS = [
  'The meeting will be held on the 4th of March.',
  'Мы читали книгу о море. Το βιβλίο είναι εδώ.',
  '{"id": 7, "name": "salt", "price": 3.99}',
];
let model: Model;
let first: Sae;
let second: Sae;
beforeAll(async () => {
  model = await openModel(`${root}/demo/model`, { threads: 1 });
  first = await loadSae(early.folder);
  second = await loadSae(late.folder);
}, 60_000);
afterAll(async () => {
  await model.close();
});

const largestDifference = (a: ArrayLike<number>, b: readonly number[]): number => {
  expect(a.length).toBe(b.length);
  return b.reduce((largest, value, i) => Math.max(largest, Math.abs(a[i]! - value)), 0);
};

/** What SAELens's HookedSAETransformer computes: test/oracles/hooked. */
const GOLDEN = JSON.parse(readFileSync(`${root}/test/golden/hooked/run-with-saes.json`, 'utf8')) as {
  ablated: number;
  raised: number;
  amount: number;
  logitsOf: number[];
  texts: {
    text: string;
    ids: number[];
    clean: number[];
    cases: Record<string, { loss: number[]; logits: number[] }>;
  }[];
};
const ablate: CodeEdit = (code) => editLatent(code, GOLDEN.ablated, () => 0);
const raise: CodeEdit = (code) => editLatent(code, GOLDEN.raised, (value) => value + GOLDEN.amount);
const CASES: Record<string, () => [Parameters<typeof runWithSaes>[2], SaesOptions]> = {
  first: () => [[first], { excludeSpecial: false }],
  both: () => [[first, second], { excludeSpecial: false }],
  'both, special tokens as they are': () => [[first, second], {}],
  'both, error kept': () => [[second, first], { keepError: true, excludeSpecial: false }],
  ablated: () => [[{ sae: second, edit: ablate }], {}],
  'ablated, error kept': () => [[{ sae: second, edit: ablate }], { keepError: true }],
  'raised, error kept': () => [
    [first, { sae: second, edit: raise }],
    { keepError: true, excludeSpecial: false },
  ],
};

test.each(Object.entries(CASES))('equals SAELens with TransformerLens: %s', async (name, call) => {
  for (const { text, ids, clean, cases } of GOLDEN.texts) {
    const [saes, options] = call();
    const { loss, logits, batch } = await runWithSaes(model, text, saes, options);
    expect([...batch.ids]).toEqual(ids);
    const last = logits!.data.subarray((batch.T - 1) * model.info.V);
    const expected = cases[name]!;
    expect(largestDifference(loss!.data, expected.loss)).toBeLessThan(2e-4);
    expect(
      largestDifference(
        GOLDEN.logitsOf.map((id) => last[id]!),
        expected.logits,
      ),
    ).toBeLessThan(2e-4);
    if (name === 'raised, error kept') expect(largestDifference(clean, expected.loss)).toBeGreaterThan(0.01);
  }
});

describe('without an edit', () => {
  test.each([[[FIRST]], [[SECOND]], [[FIRST, SECOND]]])(
    'with the error kept the logits are the clean ones: %s',
    async (hooks) => {
      const saes = hooks.map((hook) => (hook === FIRST ? first : second));
      const clean = await model.runWithCache(TEXTS, hooks, { logits: true });
      const { batch } = clean;
      const kept = await runWithSaes(model, TEXTS, saes, { keepError: true });
      expect(relativeError(kept.logits!, clean.logits!, batch.mask)).toBeLessThan(1e-5);
      expect(relativeError(kept.loss!, await model.lossPerToken(batch))).toBeLessThan(1e-5);
      const without = await runWithSaes(model, TEXTS, saes);
      expect(relativeError(without.logits!, clean.logits!, batch.mask)).toBeGreaterThan(0.01);
      expect(kept.saes.map(({ hook }) => hook)).toEqual(hooks);
      for (const { hook, sae, code, error } of kept.saes) {
        const x = clean.cache[hook]!;
        const sum = decode(sae, code).map((value, i) => value + error.data[i]!);
        const acts = batch.mask.map((real, i) => Number(real && batch.ids[i] !== model.info.bosTokenId));
        expect(relativeError({ data: sum, dims: x.dims }, x, acts)).toBeLessThan(1e-5);
        for (const [i, on] of acts.entries())
          if (!on)
            expect(error.data.subarray(i * sae.config.D, (i + 1) * sae.config.D).some(Boolean)).toBe(false);
      }
    },
  );

  test('padding on the left is left alone, too', async () => {
    const ids = model.tokenizer!.encode(TEXTS[1]!, { bos: true });
    const alone = await runWithSaes(model, padBatch([ids]), [first, second]);
    const padded = padBatch([[9, 9, 9, ...ids]]);
    padded.mask.fill(0, 0, 3);
    const { logits, loss } = await runWithSaes(model, padded, [first, second]);
    const real = { data: logits!.data.subarray(3 * model.info.V), dims: alone.logits!.dims };
    expect(relativeError(real, alone.logits!)).toBeLessThan(1e-5);
    expect(relativeError({ data: loss!.data.subarray(3), dims: alone.loss!.dims }, alone.loss!)).toBeLessThan(
      1e-5,
    );
  });

  test('the loss is the cross-entropy that evaluate measures with the SAE spliced in', async () => {
    const rows = packRows({
      documents: memoryDocuments(TEXTS),
      tokenizer: model.tokenizer!,
      contextLength: 64,
      bosTokenId: model.info.bosTokenId,
      endless: false,
    });
    const packed = (await rows.next(8))!;
    const evaluation = await evaluate({
      ...{ model, hook: SECOND, batches: [packed], mean: new Float32Array(second.config.D), resamples: 10 },
      specialIds: model.tokenizer!.specialIds,
      candidates: [saeCandidate('SAE', second)],
      klTokens: 0,
    });
    const batch = { ids: packed.ids, mask: packed.mask, B: packed.R, T: packed.T };
    const { loss } = await runWithSaes(model, batch, [second], { logits: false });
    const bos = model.info.bosTokenId;
    const scored = Array.from(packed.ids, (_, i) => i).filter(
      (i) =>
        (i + 1) % packed.T > 0 &&
        packed.mask[i + 1] === 1 &&
        packed.ids[i] !== bos &&
        packed.documents[i] === packed.documents[i + 1],
    );
    const at = (i: number) => loss!.data[Math.floor(i / packed.T) * (packed.T - 1) + (i % packed.T)]!;
    expect(evaluation.ceTokens).toBe(scored.length);
    expect(scored.reduce((sum, i) => sum + at(i), 0) / scored.length).toBeCloseTo(
      evaluation.candidates[0]!.ce.value!,
      5,
    );
  });
});

describe('with an edit', () => {
  test('adding to a latent is steering with its direction', async () => {
    const latent = GOLDEN.raised;
    const D = second.config.D;
    const added = await runWithSaes(
      model,
      TEXTS,
      [{ sae: second, edit: async (z) => raise(z, undefined!) }],
      {
        keepError: true,
        excludeSpecial: false,
      },
    );
    const { batch } = added;
    const directions = second.W_dec.slice(latent * D, (latent + 1) * D);
    const steer = { hook: SECOND, directions, strengths: Float32Array.of(GOLDEN.amount) };
    const { logits } = await model.run(batch, { logits: true, steer });
    expect(relativeError(added.logits!, logits!, batch.mask)).toBeLessThan(1e-5);
  });

  test('the code that is returned is the one that was found', async () => {
    const plain = await runWithSaes(model, TEXTS, [second], { logits: false });
    const edited = await runWithSaes(model, TEXTS, [{ sae: second, edit: ablate }], { logits: false });
    expect(edited.saes[0]!.code).toEqual(plain.saes[0]!.code);
    expect(edited.logits).toBeUndefined();
    expect(edited.loss!.data).not.toEqual(plain.loss!.data);
  });

  test('an edit in place counts, and sees which hook and batch it is for', async () => {
    let seen: unknown;
    const zeroed = await runWithSaes(model, TEXTS[1]!, [
      {
        sae: second,
        edit: (code, where) => {
          code.values.fill(0);
          seen = where;
        },
      },
    ]);
    expect(seen).toEqual({ hook: SECOND, batch: zeroed.batch });
    const only = await runWithSaes(model, TEXTS[1]!, [
      { sae: second, edit: ({ B }) => ({ B, K: 0, values: new Float32Array(), indices: new Int32Array() }) },
    ]);
    // Both leave the bias of the decoder alone.
    expect(zeroed.logits!.data).toEqual(only.logits!.data);
    expect(zeroed.saes[0]!.code.values.some((value) => value > 0)).toBe(true);
  });
});

describe('transcoders', () => {
  const rng = createRng('transcoder');
  const normals = (n: number, scale: number) => Float32Array.from({ length: n }, () => scale * rng.normal());
  /** From what the MLP of block 1 reads, as it is in the stream, to what it gives; with a linear map beside its latents. */
  function planted(metadata: Record<string, unknown> = {}): Sae<'topk'> {
    const { D } = model.info;
    const F = 64;
    return {
      config: {
        ...{ architecture: 'topk', D, Dout: D, F, K: 4 },
        metadata: { hook_name: 'blocks.1.hook_resid_mid', ...metadata },
      },
      ...{ W_enc: normals(F * D, 0.1), b_enc: normals(F, 0.1), W_dec: normals(F * D, 0.1) },
      ...{ b_dec: normals(D, 0.1), W_skip: normals(D * D, 0.02) },
    } as Sae<'topk'>;
  }
  const [reads, writes] = ['blocks.1.hook_resid_mid', 'blocks.1.hook_mlp_out'];

  /** y = W_skip x + b_dec + the K largest of W_enc x + b_enc, through W_dec; in plain loops. */
  function slowly({ config: { D, F, K }, W_enc, b_enc, W_dec, b_dec, W_skip }: Sae<'topk'>, x: Float32Array) {
    const dot = (W: Float32Array, i: number) => x.reduce((sum, v, d) => sum + v * W[i * D + d]!, 0);
    const best = Array.from({ length: F }, (_, i) => ({ i, pre: dot(W_enc, i) + b_enc[i]! }))
      .sort((a, b) => b.pre - a.pre)
      .slice(0, K)
      .filter(({ pre }) => pre > 0);
    return x.map((_, o) =>
      best.reduce((sum, { i, pre }) => sum + pre * W_dec[i * D + o]!, b_dec[o]! + dot(W_skip!, o)),
    );
  }

  test('stand in place of the MLP: the logits of a run whose output was put there by hand', async () => {
    const transcoder = planted();
    const { D } = transcoder.config;
    const { cache, batch } = await model.runWithCache(TEXTS, [reads, writes]);
    const y = cache[writes]!.data.slice();
    for (const [row, real] of batch.mask.entries())
      if (real && !model.tokenizer!.specialIds.has(batch.ids[row]!))
        y.set(slowly(transcoder, cache[reads]!.data.subarray(row * D, (row + 1) * D)), row * D);
    const expected = await model.runWithHooks(batch, { [writes]: () => y }, { hooks: [reads] });
    const found = await runWithSaes(model, TEXTS, [transcoder], { hooks: [reads] });
    expect(relativeError(found.logits!, expected.logits!, batch.mask)).toBeLessThan(1e-5);
    const [{ hook, outputHook, error }] = found.saes;
    expect([hook, outputHook]).toEqual([reads, writes]);
    const difference = cache[writes]!.data.map((value, i) => value - y[i]!);
    expect(relativeError(error, { data: difference, dims: error.dims }, batch.mask)).toBeLessThan(1e-5);
    // What it reads is left alone.
    expect(found.cache[reads]!.data).toEqual(expected.cache[reads]!.data);
    const kept = await runWithSaes(model, TEXTS, [transcoder], { keepError: true });
    const clean = await model.run(batch, { logits: true });
    expect(relativeError(kept.logits!, clean.logits!, batch.mask)).toBeLessThan(1e-5);
    expect(relativeError(found.logits!, clean.logits!, batch.mask)).toBeGreaterThan(0.01);
  });

  test('an SAE before them changes what they read; one latent raised adds its row', async () => {
    const transcoder = planted();
    const { D } = transcoder.config;
    const before = { ...first, config: { ...first.config, metadata: { hook_name: reads } } } as Sae;
    const edit: CodeEdit = (code) => editLatent(code, 5, (value) => value + 3);
    const found = await runWithSaes(model, TEXTS, [{ sae: transcoder, edit }, before], {
      excludeSpecial: false,
    });
    const { batch } = found;
    const expected = await model.runWithHooks(
      batch,
      {
        [reads]: async ({ data }) => decode(before, await encode(before, data)),
        [writes]: async () => {
          const { cache } = await runWithSaes(model, TEXTS, [before], {
            hooks: [reads],
            excludeSpecial: false,
          });
          const x = cache[reads]!.data;
          const out = x.slice();
          for (let row = 0; row < batch.mask.length; row++) {
            const y = slowly(transcoder, x.subarray(row * D, (row + 1) * D));
            out.set(
              y.map((value, d) => value + 3 * transcoder.W_dec[5 * D + d]!),
              row * D,
            );
          }
          return out;
        },
      },
      {},
    );
    expect(relativeError(found.logits!, expected.logits!, batch.mask)).toBeLessThan(1e-5);
  });

  test('go where they say, and are refused where that cannot be', async () => {
    const run = (sae: Sae, more = {}) => runWithSaes(model, 'One', [{ sae, ...more }]);
    const other = 'blocks.1.hook_resid_post';
    expect((await run(planted({ hook_name_out: other }))).saes[0]!.outputHook).toBe(other);
    expect((await run(planted(), { outputHook: other })).saes[0]!.outputHook).toBe(other);
    await expect(run(planted(), { outputHook: 'blocks.0.hook_mlp_out' })).rejects.toThrow(
      'reads blocks.1.hook_resid_mid, which is computed after blocks.0.hook_mlp_out, where it writes',
    );
    await expect(run(planted(), { outputHook: 'blocks.1.mlp.hook_post' })).rejects.toThrow(/writes width/);
    await expect(run(second, { outputHook: writes })).rejects.toThrow('is no transcoder');
    const { config, ...arrays } = planted();
    await expect(run({ config: { ...config, places: 1 }, ...arrays })).rejects.toThrow(
      /cross-layer transcoder, which writes to 1 layers\. .* neither measured nor put into the model/,
    );
    await expect(runWithSaes(model, 'One', [planted(), { sae: planted() }])).rejects.toThrow(
      `Two SAEs write at ${writes}`,
    );
  });
});

describe('what does not fit is refused with what would', () => {
  const run = (sae: Parameters<typeof runWithSaes>[2][number]) => runWithSaes(model, 'One', [sae]);
  const withMetadata = (metadata: Record<string, unknown>): Sae => ({
    ...second,
    config: { ...second.config, metadata },
  });

  test('hook, width, model, twice', async () => {
    const { D, mlp, heads, headWidth } = demoModel;
    await expect(run(withMetadata({}))).rejects.toThrow(
      new RegExp(`D ${D}, F ${late.F}\\).*no hook_name.*Name the hook`),
    );
    expect((await run({ sae: withMetadata({}), hook: SECOND })).saes[0]!.hook).toBe(SECOND);
    await expect(run({ sae: second, hook: 'blocks.9.hook_resid_post' })).rejects.toThrow(
      /no hook "blocks.9.hook_resid_post". Nearest: blocks/,
    );
    await expect(run({ sae: second, hook: 'blocks.0.mlp.hook_post' })).rejects.toThrow(
      new RegExp(`width ${D}, but blocks.0.mlp.hook_post of .*demo/model has width ${mlp}`),
    );
    await expect(run({ sae: second, hook: 'blocks.0.attn.hook_z' })).rejects.toThrow(
      `hooks of [B,T,width]; blocks.0.attn.hook_z is [B,T,${heads},${headWidth}]`,
    );
    const other = withMetadata({ ...second.config.metadata, model_hash: 'a'.repeat(64) });
    await expect(run(other)).rejects.toThrow(
      new RegExp(
        `trained on demo/model with hash aaaaaaaaaaaa…; .* has ${model.info.hash.slice(0, 12)}….*otherModel: true`,
      ),
    );
    expect((await run({ sae: other, otherModel: true })).saes).toHaveLength(1);
    await expect(runWithSaes(model, 'One', [second, { sae: first, hook: SECOND }])).rejects.toThrow(
      `Two SAEs write at ${SECOND}; a hook takes one.`,
    );
  });

  test('edits of other sizes, and of latents that are not there', async () => {
    await expect(run({ sae: second, edit: (z) => ({ ...z, B: 1 }) })).rejects.toThrow(
      new RegExp(`edit at ${SECOND} returned a code of 1 rows.*expected \\d rows`),
    );
    await expect(run({ sae: second, edit: (z) => editLatent(z, 5000, () => 1) })).rejects.toThrow(
      `Latent 5000 is outside [0, ${late.F})`,
    );
  });

  test('no SAE at all is the model as it is', async () => {
    const batch = padBatch([[0, 5, 6]]);
    const { logits, saes } = await runWithSaes(model, batch, []);
    expect(saes).toEqual([]);
    expect(logits!.data).toEqual((await model.run(batch, { logits: true })).logits!.data);
  });
});
