// The output effect of a latent against plain softmaxes over the logits of the clamped model.
import { expect, it } from 'vitest';
import '../../platform/node.ts';
import { DNA, demoModel, GREEK, LATE, late } from '../../../test/support/demo.ts';
import { openModel, padBatch } from '../../models/index.ts';
import { loadSae } from '../../sae/index.ts';
import { steer } from '../../steer/index.ts';
import { createTargetEffect } from './choose.ts';
import { makeConcept } from './concept.ts';
import { pushLatent } from './push.ts';

it('is the mean rise of the probability of the target tokens at every position of the openings', async () => {
  const model = await openModel('demo/model', { threads: 1 });
  const sae = await loadSae(late.path);
  const { encode } = model.tokenizer!;
  const texts = [
    'The meeting will be held in the afternoon, and all of it will be written down later.',
    'No.',
  ];
  const targets = encode(' α β AC GT').slice(0, 6);
  const negative = texts.map((text) => encode(text));
  const effectOf = await createTargetEffect(model, { teach: { positive: [], negative }, targets }, undefined);
  const rows = negative.map((ids) => [model.info.bosTokenId!, ...ids.slice(0, 12)]);
  const probabilities = async (value?: number, latent = DNA): Promise<number[]> => {
    const interventions =
      value === undefined ? [] : await steer(model, [{ sae, latent, mode: 'clamp', value }]);
    const found: number[] = [];
    for (const row of rows) {
      const { logits } = await model.run(padBatch([row]), { logits: true, interventions });
      for (let t = 0; t < row.length; t++) {
        const e = Array.from(logits!.data.subarray(t * demoModel.V, (t + 1) * demoModel.V), Math.exp);
        const total = e.reduce((a, b) => a + b, 0);
        found.push(targets.reduce((sum, v) => sum + e[v]! / total, 0));
      }
    }
    return found;
  };
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const plain = mean(await probabilities());
  for (const latent of [DNA, GREEK]) {
    const push = await pushLatent(model, { sae, hook: LATE, latent, mode: 'clamp', value: 90 });
    const expected = mean(await probabilities(90, latent)) - plain;
    expect(Math.abs(expected)).toBeGreaterThan(1e-4);
    expect(await effectOf(push)).toBeCloseTo(expected, 5);
  }
  await model.close();
}, 60_000);

it('a target that is said twice counts once', async () => {
  const model = await openModel('demo/model', { threads: 1 });
  const text = (i: number) => `Document ${i} says that the meeting will be held in the afternoon.`;
  const texts = { name: 'x', positive: [0, 1, 2, 3].map(text), negative: [4, 5, 6, 7].map(text) };
  const { targets } = makeConcept(model, texts, [' the', ' the', ' of']);
  expect(targets).toEqual([' the', ' of'].flatMap((one) => model.tokenizer!.encode(one)));
  await model.close();
});
