import { describe, expect, test } from 'vitest';
import { BOUND, goldenFolder, relativeError, sentenceGolden } from '../../test/golden/models/compare.ts';
import { testModel } from '../../test/support/test-models.ts';
import { openModel, padBatch } from './index.ts';
import { sentenceVectors } from './sentence-vectors.ts';

const folder = testModel('all-MiniLM-L6-v2');

describe.skipIf(!folder)('all-MiniLM-L6-v2, real weights', () => {
  test('ids and sentence vectors equal those of transformers, long and empty texts included', async () => {
    const { texts, ids, maxTokens, vectors } = await sentenceGolden();
    const model = await openModel(folder!);
    for (const [i, text] of texts.entries()) {
      const ours = model.tokenizer!.encode(text, { bos: true });
      const theirs = ids[i]!;
      if (ours.length > maxTokens) {
        expect(theirs.slice(0, -1)).toEqual(ours.slice(0, maxTokens - 1));
        expect(theirs.at(-1)).toBe(model.tokenizer!.endId);
      } else expect(ours).toEqual(theirs);
    }
    const found = await sentenceVectors(model, texts, { maxTokens });
    expect(relativeError(found, vectors)).toBeLessThan(BOUND);
    // What the vectors are for: the paraphrase is nearer than the other subject.
    const cosine = (a: number, b: number) =>
      found.data
        .subarray(a * 384, (a + 1) * 384)
        .reduce((sum, x, d) => sum + x * found.data[b * 384 + d]!, 0);
    expect(cosine(0, 1)).toBeGreaterThan(cosine(0, 2) + 0.3);
    await model.close();
  });
});

describe('an encoder', () => {
  const open = () => openModel(goldenFolder('bert'), { threads: 1 });

  test('gives one mean per text whatever runs beside it, unscaled when asked', async () => {
    const model = await open();
    const { lastResidual, info } = model;
    // Letters are ids: no tokenizer stands beside the tiny model.
    const tokenizer = {
      encode: (text: string) => [1, ...[...text].map((letter) => letter.charCodeAt(0) - 32), 2],
      endId: 2,
    } as unknown as NonNullable<typeof model.tokenizer>;
    const vectors = async (list: string[], options = {}) =>
      (await sentenceVectors({ info, lastResidual, tokenizer }, list, options)).data;
    const together = await vectors(['SHORT', 'A MUCH LONGER TEXT']);
    const alone = [...(await vectors(['SHORT'])), ...(await vectors(['A MUCH LONGER TEXT']))];
    for (const [i, x] of together.entries()) expect(x).toBeCloseTo(alone[i]!, 5);
    expect(Math.hypot(...together.subarray(0, 32))).toBeCloseTo(1, 6);

    const ids = tokenizer.encode('SHORT');
    const { data } = await lastResidual(padBatch([ids]));
    const mean = Array.from({ length: 32 }, (_, d) =>
      ids.reduce((sum, _id, t) => sum + data[t * 32 + d]! / ids.length, 0),
    );
    for (const [d, x] of (await vectors(['SHORT'], { normalize: false })).entries())
      expect(x).toBeCloseTo(mean[d]!, 5);
    // Cut before the end token, not through it.
    expect(await vectors(['SHORTEST'], { maxTokens: 7 })).toEqual(await vectors(['SHORT'], { maxTokens: 7 }));
    await expect(vectors(['A'], { maxTokens: 65 })).rejects.toThrow(/maxTokens is 65, expected 3 to 64/);
    await model.close();
  });

  test('has hooks, and says why it has no logits, loss or generation', async () => {
    const model = await open();
    const batch = padBatch([[1, 5, 9, 2]]);
    const hook = 'blocks.0.hook_resid_post';
    const { cache } = await model.run(batch, { hooks: [hook] });
    const refused = /bert is an encoder \(bert\) and predicts no next token: it has hooks, but no/;
    await expect(model.run(batch, { logits: true })).rejects.toThrow(refused);
    await expect(model.runFrom(hook, cache[hook]!, batch)).rejects.toThrow(refused);
    await expect(model.lossPerToken(batch)).rejects.toThrow(refused);
    await expect(model.headLogits(new Float32Array(32))).rejects.toThrow(refused);
    await expect(model.generateBatch(batch)).rejects.toThrow(refused);
    await expect(model.runWithHooks(batch, {}, { loss: true })).rejects.toThrow(refused);

    // A function at a hook changes what comes after it, with nothing said of logits.
    const last = 'blocks.1.hook_normalized_resid_post';
    const plain = await model.run(batch, { hooks: [last] });
    const edited = await model.runWithHooks(
      batch,
      { [hook]: ({ data }) => void data.fill(0) },
      { hooks: [last] },
    );
    expect(edited.logits).toBeUndefined();
    expect(relativeError(edited.cache[last]!, plain.cache[last]!)).toBeGreaterThan(0.1);
    await model.close();
  });
});
