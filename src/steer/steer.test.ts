// Each mode against its formula, h' = h + (z' - z) d, with z of the sparse encoder. Against PyTorch: exactness.test.ts.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import '../platform/node.ts';
import { openModel } from '../models/index.ts';
import type { Model, TokenBatch } from '../models/types.ts';
import { encode, latentColumn, loadSae } from '../sae/index.ts';
import type { Sae } from '../sae/types.ts';
import { type InterventionSpec, steer } from './index.ts';

const HOOK = 'blocks.2.hook_resid_post';
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
  sae = await loadSae('demo/saes/blocks.2.hook_resid_post');
  const { cache, batch: found } = await model.runWithCache(TEXT, HOOK);
  batch = found;
  h = cache[HOOK]!.data;
  const code = await encode(sae, h);
  latent = code.indices[8 * code.K + 1]!;
  z = latentColumn(code, latent);
}, 60_000);
afterAll(() => model.close());

async function rows(specs: readonly InterventionSpec[], promptLengths?: number[]): Promise<Float32Array> {
  const interventions = await steer(model, specs);
  const options = promptLengths ? { promptLengths } : {};
  return (await model.run(batch, { hooks: [HOOK], interventions, ...options })).cache[HOOK]!.data;
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

/** h + (change(z) - z) d at the tokens where `on` says so. */
const expected = (change: (z: number, t: number) => number, on: (t: number) => boolean = () => true) =>
  h.map((value, i) => {
    const { D } = sae.config;
    const t = Math.floor(i / D);
    return on(t) ? value + (change(z[t]!, t) - z[t]!) * sae.W_dec[latent * D + (i % D)]! : value;
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
