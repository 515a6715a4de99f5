// Every mode and kind of SAE against PyTorch with the changes made by hand (test/oracles/steer/generate.py): rows at the changed hook and logits,
// the greedy text with the cache of keys and values and without one, and all of it in one session.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import '../platform/node.ts';
import { root } from '../../test/repository.ts';
import { demoModel, late } from '../../test/support/demo.ts';
import { padBatch } from '../models/batch.ts';
import { argmax } from '../models/generation/sample.ts';
import { openModel } from '../models/index.ts';
import type { Model } from '../models/types.ts';
import { loadSae } from '../sae/index.ts';
import type { Sae, SaeConfig } from '../sae/types.ts';
import type { InterventionConfigInput } from '../shared/intervention.ts';
import { type InterventionSpec, steer } from './index.ts';

type Edit = Omit<InterventionConfigInput, 'vector' | 'sae'> & {
  readonly vector?: number;
  readonly sae?: string;
};
type Case = {
  readonly edits: readonly Edit[];
  readonly hook: string;
  readonly rows: readonly (readonly number[])[];
  readonly logits: readonly number[];
  readonly text: readonly number[];
};
const GOLDEN = JSON.parse(readFileSync(join(root, 'test/golden/steer/exactness.json'), 'utf8')) as {
  readonly ids: number[];
  readonly columns: readonly number[];
  readonly logitsOf: readonly number[];
  readonly cases: Readonly<Record<string, Case>>;
};
const { D } = demoModel;

/** The same numbers as in the generator. */
const numbers = (seed: number, size: number, scale: number): Float32Array =>
  Float32Array.from({ length: size }, (_, i) => {
    const x = Math.sin((i + 1) * 12.9898 + seed) * 43758.5453;
    return (x - Math.floor(x) - 0.5) * 2 * scale;
  });

function made(
  seed: number,
  F: number,
  hook: string,
  kind: Partial<SaeConfig>,
  arrays: Partial<Sae> = {},
): Sae {
  const config = { D, F, metadata: { hook_name: hook }, ...kind } as SaeConfig;
  return {
    ...{ config, W_enc: numbers(seed, F * D, 0.3), b_enc: numbers(seed + 1, F, 0.1) },
    ...{ W_dec: numbers(seed + 2, F * D, 0.15), b_dec: numbers(seed + 3, D, 0.1) },
    ...arrays,
  };
}
const positive = (seed: number, size: number, scale: number) =>
  numbers(seed, size, 1).map((x) => Math.abs(x) * scale);

let model: Model;
const saes: Record<string, Sae> = {
  jumprelu: made(
    1,
    256,
    'blocks.1.hook_resid_post',
    { architecture: 'jumprelu' },
    { threshold: positive(9, 256, 2) },
  ),
  layer: made(20, 256, 'blocks.1.hook_resid_post', { architecture: 'topk', K: 24, inputNorm: 'layer' }),
  norm: made(30, 256, 'blocks.0.hook_mlp_out', { architecture: 'topk', K: 24, inputNorm: 'norm' }),
  gated: made(
    40,
    256,
    'blocks.1.hook_attn_out',
    { architecture: 'gated' },
    { r_mag: numbers(44, 256, 0.3), b_mag: numbers(45, 256, 0.3) },
  ),
  transcoder: made(
    50,
    192,
    'blocks.1.hook_resid_mid',
    { architecture: 'jumprelu', Dout: D },
    { threshold: positive(55, 192, 1) },
  ),
};
beforeAll(async () => {
  model = await openModel('demo/model', { threads: 1 });
  saes.topk = await loadSae(late.path);
});
afterAll(() => model.close());

const specOf = ({ sae, vector, when, ...rest }: Edit): InterventionSpec => ({
  ...rest,
  ...(sae === undefined ? {} : { sae: saes[sae]! }),
  ...(vector === undefined ? {} : { vector: numbers(vector, D, 1) }),
  ...(when ? { when: { ...when, sae: saes[when.sae ?? sae!]! } } : {}),
});

/** max |a - b| / max |b| */
const difference = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  const size = Math.max(...Array.from(b, Math.abs));
  return Math.max(...Array.from(b, (value, i) => Math.abs(a[i]! - value))) / size;
};

describe.each(Object.entries(GOLDEN.cases))('%s', (name, { edits, hook, rows, logits, text }) => {
  const batch = padBatch([GOLDEN.ids]);

  test('gives the rows and logits of PyTorch', async () => {
    const interventions = await steer(model, edits.map(specOf));
    const run = await model.run(batch, { hooks: [hook], logits: true, interventions });
    const found = run.cache[hook]!.data;
    expect(rows.length).toBe(GOLDEN.ids.length);
    for (const [t, row] of rows.entries())
      expect(
        difference(
          GOLDEN.columns.map((d) => found[t * D + d]!),
          row,
        ),
        `token ${t}`,
      ).toBeLessThan(1e-5);
    const { V } = model.info;
    const last = run.logits!.data.subarray((rows.length - 1) * V);
    expect(
      difference(
        GOLDEN.logitsOf.map((id) => last[id]!),
        logits,
      ),
    ).toBeLessThan(2e-5);
  });

  test('acts on every token that is written, with a cache and without', async () => {
    const interventions = await steer(model, edits.map(specOf));
    const options = { maxNewTokens: text.length, interventions };
    const [cached] = await model.generateBatch(batch, options);
    expect(cached!.ids, name).toEqual(text);
    const ids = [...GOLDEN.ids];
    for (const _ of text) {
      const whole = padBatch([ids]);
      const promptLengths = [GOLDEN.ids.length];
      const { logits } = await model.run(whole, { logits: true, interventions, promptLengths });
      ids.push(argmax(logits!.data.subarray((ids.length - 1) * model.info.V)));
    }
    expect(ids.slice(GOLDEN.ids.length)).toEqual(text);
  });
});
