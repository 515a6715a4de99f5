// The test behind the steering report on the bundled model: how often it finds what is not there, and what is. The whole of it: npm run bench -- --calibration.
import { expect, it } from 'vitest';
import { calibrate, calibrationHolds } from '../bench/lib/calibration.ts';
import { readBundledCorpus } from '../src/demo/bundled-corpus.ts';
import { loadSae, openModel } from '../src/index.ts';
import { LATE as hook, late } from './support/demo.ts';

it('finds random latents as often as its level says, and a planted direction with sign and size', async () => {
  const model = await openModel('demo/model', { threads: 2 });
  const result = await calibrate(model, await loadSae(late.path), {
    ...{ hook, seeds: 20, tests: 20, controls: 19, prompts: 8, promptTokens: 8, strength: 20 },
    texts: readBundledCorpus('heldout')
      .slice(0, 300)
      .map(({ text }) => text),
  });
  await model.close();
  expect(result.falseFindings.n).toBe(400);
  expect(calibrationHolds(result), JSON.stringify(result)).toBe(true);
}, 600_000);
