/** Published config.json files, in the spellings that they have, mean here what they mean in transformers. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { GOLDEN } from '../../../test/golden/models/compare.ts';
import type { ModelWeights } from '../hf-folder.ts';
import { findFamily } from './registry.ts';
import { type Config, parseActivation } from './spec.ts';

type Rope = { theta: number; type: string; factor: number | null; dims: number };
type Meaning = {
  [key: string]: unknown;
  activation: string;
  scale: number;
  windows: (number | null)[];
  ropes: (Rope | null)[];
};
const published = JSON.parse(readFileSync(new URL('configs.json', GOLDEN), 'utf8')) as Record<
  string,
  { config: Config; meaning: Meaning }
>;

/** A file with whatever head it is asked for. */
const weights = { tensors: { has: () => true } } as unknown as ModelWeights;

test.each(Object.entries(published))('%s', (name, { config, meaning }) => {
  const spec = findFamily(config, name).parse(config, weights);
  const { activation, scale, windows, ropes, parallel, scoreCap, logitCap, tiedHead, ...rest } = meaning;
  expect(spec).toMatchObject(rest);
  expect(spec.activation).toBe(parseActivation(activation, 'hidden_act'));
  expect(spec.parallel ?? null).toBe(parallel);
  expect([spec.scoreCap ?? null, spec.logitCap ?? null]).toEqual([scoreCap, logitCap]);
  if (!spec.encoder) expect(spec.tiedHead).toBe(tiedHead);
  expect(spec.attention.map(({ window }) => window ?? null)).toEqual(windows);
  for (const [layer, one] of spec.attention.entries()) {
    expect(one.scale).toBeCloseTo(scale, 12);
    const wanted = ropes[layer]!;
    if (wanted === null) expect(one.rope).toBeUndefined();
    else {
      const { theta, type, factor, dims } = wanted;
      expect(one.rope).toMatchObject({ theta, dims, scaling: { type, ...(factor ? { factor } : {}) } });
    }
  }
});
