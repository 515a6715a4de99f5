import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import '../platform/node.ts';
import { root } from '../../test/repository.ts';
import { LATE as HOOK, late } from '../../test/support/demo.ts';
import { openModel } from '../models/index.ts';
import type { Model, TokenBatch } from '../models/types.ts';
import { dense, encode, loadSae, type Sae, type SparseCode } from '../sae/index.ts';
import { createRng } from '../shared/rng.ts';
import { type EncodedText, type EncodeProgress, encodeTexts } from './encode-texts.ts';

let model: Model;
let sae: Sae;
beforeAll(async () => {
  model = await openModel(`${root}/demo/model`, { threads: 1 });
  sae = await loadSae(late.folder);
});
afterAll(async () => {
  await model.close();
});

async function collect(texts: AsyncIterable<EncodedText>): Promise<EncodedText[]> {
  const all: EncodedText[] = [];
  for await (const text of texts) all.push(text);
  return all;
}

/** One text alone, without batches, with the row of BOS emptied by hand. */
async function alone(text: string): Promise<{ ids: number[]; code: SparseCode }> {
  const { cache, batch } = await model.runWithCache(text, HOOK);
  const code = await encode(sae, cache[HOOK]!.data);
  code.values.fill(0, 0, code.K);
  return { ids: [...batch.ids], code };
}

const rng = createRng('texts');
const words = ['The', ' river', ' under', ' {"id": 7}', ' книга', '\n', ' 3.99', ' def f(x):', ' ACGT'];
const texts = Array.from({ length: 16 }, () =>
  Array.from({ length: 1 + rng.int(40) }, () => rng.pick(words)).join(''),
);

/** A model that notes what it is run on. */
function watched(batches: TokenBatch[]): Model {
  return {
    ...model,
    run: (batch, options) => {
      batches.push(batch);
      return model.run(batch, options);
    },
  };
}

describe('encodeTexts', () => {
  test('gives every text what it gets alone, in order, whatever batches it came in', async () => {
    const batches: TokenBatch[] = [];
    const progress: EncodeProgress[] = [];
    const encoded = await collect(
      encodeTexts(watched(batches), sae, texts, { batchTokens: 200, onProgress: (p) => progress.push(p) }),
    );
    expect(encoded.map(({ text }) => text)).toEqual(texts);
    expect(encoded.map(({ index }) => index)).toEqual(texts.map((_, i) => i));
    const { F } = sae.config;
    for (const { text, ids, tokens, code, cut } of encoded) {
      const single = await alone(text);
      expect([...ids]).toEqual(single.ids);
      expect(tokens).toEqual(model.tokenizer!.tokenStrings(single.ids));
      expect(cut).toBe(0);
      const [got, wanted] = [dense(code, F), dense(single.code, F)];
      const largest = wanted.reduce((a, b) => Math.max(a, b), 0);
      expect(largest).toBeGreaterThan(1);
      const worst = wanted.reduce((most, value, i) => Math.max(most, Math.abs(got[i]! - value)), 0);
      expect(worst).toBeLessThan(1e-5 * largest);
    }
    // Sensible batches: many texts together, within the limit, little padding.
    expect(batches.length).toBeLessThan(10);
    const positions = batches.reduce((sum, { B, T }) => sum + B * T, 0);
    const tokens = encoded.reduce((sum, { ids }) => sum + ids.length, 0);
    expect(batches.every(({ B, T }) => B * T <= 200)).toBe(true);
    expect(positions).toBeLessThan(1.2 * tokens);
    expect(progress).toHaveLength(batches.length);
    expect(progress.at(-1)).toEqual({ texts: 16, tokens, total: 16 });
  });

  test('reads a stream of texts by windows, and stops reading with its reader', async () => {
    let read = 0;
    let closed = false;
    async function* endless(): AsyncGenerator<string> {
      try {
        for (;;) yield texts[read++ % texts.length]!;
      } finally {
        closed = true;
      }
    }
    let seen = 0;
    for await (const { index } of encodeTexts(model, sae, endless(), { batchTokens: 64 })) {
      expect(index).toBe(seen++);
      if (seen === 30) break;
    }
    expect(closed).toBe(true);
    expect(read).toBeLessThan(120);
  });

  test('cuts what does not fit and says so; an empty text is BOS alone', async () => {
    const long = 'word '.repeat(400);
    const [cut, short, empty] = await collect(encodeTexts(model, sae, [long, 'One two three', ''], {}));
    expect(cut!.ids).toHaveLength(model.info.contextLength);
    expect(cut!.cut).toBe(model.tokenizer!.encode(long, { bos: true }).length - model.info.contextLength);
    expect(short!.cut).toBe(0);
    expect([...empty!.ids]).toEqual([model.info.bosTokenId]);
    expect(empty!.code.values.some((value) => value !== 0)).toBe(false);
    const [three] = await collect(encodeTexts(model, sae, ['One two three'], { maxTokens: 2 }));
    expect([...three!.ids]).toEqual([...short!.ids.subarray(0, 2)]);
    expect(three!.cut).toBe(short!.ids.length - 2);
  });

  test('screened: what encode gives screened, the latents that it gives without; signed codes are refused', async () => {
    for (const text of texts.slice(0, 3)) {
      const [{ code }] = (await collect(
        encodeTexts(model, sae, text, { screen: 'int8', excludeSpecial: false }),
      )) as [EncodedText];
      const { cache } = await model.runWithCache(text, HOOK);
      expect(code).toEqual(await encode(sae, cache[HOOK]!.data, { screen: 'int8' }));
      const plain = await encode(sae, cache[HOOK]!.data);
      // Sums in another order: the same code, not the same bits.
      expect(code.values).not.toEqual(plain.values);
      const { F } = sae.config;
      const [got, wanted] = [dense(code, F), dense(plain, F)];
      const largest = wanted.reduce((a, b) => Math.max(a, b), 0);
      for (const [i, value] of wanted.entries())
        if (Math.abs(got[i]! - value) > 1e-5 * largest) expect.fail(`place ${i}: ${got[i]}, not ${value}`);
    }
    const signed = { ...sae, config: { ...sae.config, signed: true } } as Sae;
    await expect(collect(encodeTexts(model, signed, texts, { screen: 'int8' }))).rejects.toThrow(
      /Signed codes cannot be screened/,
    );
  });

  test('one string is one text', async () => {
    const encoded = await collect(encodeTexts(model, sae, 'One two'));
    expect(encoded.map(({ text }) => text)).toEqual(['One two']);
  });

  test('with special tokens, BOS has the code that encode gives', async () => {
    const [{ code }] = (await collect(encodeTexts(model, sae, ['One'], { excludeSpecial: false }))) as [
      EncodedText,
    ];
    const { cache } = await model.runWithCache('One', HOOK);
    expect([...code.indices]).toEqual([...(await encode(sae, cache[HOOK]!.data)).indices]);
    expect(code.values[0]).toBeGreaterThan(0);
  });

  test('a model without BOS may have texts without tokens', async () => {
    const { tokenizer } = model;
    const plain: Model = {
      ...model,
      tokenizer: { ...tokenizer!, encode: (text) => tokenizer!.encode(text) },
    };
    const [empty, one] = await collect(encodeTexts(plain, sae, ['', 'One']));
    expect(empty!.code).toEqual({ B: 0, K: late.K, values: new Float32Array(), indices: new Int32Array() });
    expect(one!.ids).toEqual(Int32Array.from(tokenizer!.encode('One')));
    expect(one!.code.B).toBe(one!.ids.length);
  });

  test('refuses an SAE of another model, and a model without tokenizer', async () => {
    const other = { ...sae, config: { ...sae.config, metadata: { hook_name: HOOK, model_hash: 'b' } } };
    await expect(collect(encodeTexts(model, other, texts))).rejects.toThrow(/hash b….*otherModel: true/);
    await expect(collect(encodeTexts({ ...model, tokenizer: undefined }, sae, texts))).rejects.toThrow(
      /has no tokenizer.json, so texts cannot be encoded/,
    );
    await expect(collect(encodeTexts(model, sae, texts, { maxTokens: 0 }))).rejects.toThrow(/maxTokens is 0/);
    await expect(collect(encodeTexts(model, sae, texts, { batchTokens: Number.NaN }))).rejects.toThrow(
      'batchTokens is NaN, expected 1 or more',
    );
  });
});
