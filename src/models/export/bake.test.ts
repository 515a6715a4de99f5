/** Interventions baked into an export, against the same ones through the steering bus: other nodes, the same logits and greedy text. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import '../../platform/node.ts';
import { plainGreedy } from '../../../test/fixtures/plain-greedy.ts';
import { DNA, largest, late } from '../../../test/support/demo.ts';
import { getPlatform } from '../../platform/index.ts';
import { loadSae, type Sae } from '../../sae/index.ts';
import type { SharedConfig } from '../../sae/types.ts';
import type { VariantSettings } from '../../sae/variants/registry.ts';
import { createRng } from '../../shared/rng.ts';
import { type InterventionSpec, inRows, steer } from '../../steer/index.ts';
import { folderWriter } from '../../store/index.ts';
import { padBatch } from '../batch.ts';
import { openLocation, openModel, openModelGraph } from '../open.ts';
import type { Model } from '../types.ts';
import { bakeInterventions } from './bake.ts';
import { writePlainModel } from './write.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const TOKENS = 10;

const models: Record<string, { location: string; model: Model; prompts: number[][] }> = {};
let sae: Sae;
beforeAll(async () => {
  for (const [name, path] of [
    ['demo', 'demo/model'],
    ['small', 'test/golden/models/llama3-tied-shards'],
  ] as const) {
    const location = join(root, path);
    const model = await openModel(location, { threads: 1 });
    const rng = createRng(name);
    const prompts = [12, 3, 1].map((n) => Array.from({ length: n }, () => rng.int(model.info.V)));
    models[name] = { location, model, prompts };
  }
  const { tokenizer } = models.demo!.model;
  models.demo!.prompts = ['The meeting will be held', 'Мы читали книгу', 'def f(x):'].map((text) =>
    tokenizer!.encode(text, { bos: true }),
  );
  sae = await loadSae(late.folder);
}, 60_000);
afterAll(async () => {
  await Promise.all(Object.values(models).map(({ model }) => model.close()));
});

/** SAEs of numbers at random, of any kind, on the small model. */
const [D, F] = [32, 48];
const rng = createRng('bake');
const fill = (n: number, scale = 1) => Float32Array.from({ length: n }, () => scale * rng.normal());
function randomSae(own: VariantSettings & Partial<SharedConfig>, more: Partial<Sae> = {}): Sae {
  return {
    config: { D, F, metadata: { hook_name: 'blocks.1.hook_resid_post' }, ...own },
    W_enc: fill(F * D, 0.3),
    b_enc: fill(F, 0.3),
    W_dec: fill(F * D, 0.3),
    b_dec: fill(D, 0.1),
    ...more,
  };
}
const metadata = { hook_name: 'blocks.0.hook_resid_post' };
const early = randomSae({ architecture: 'topk', K: 8, metadata });
const topk = randomSae({ architecture: 'topk', K: 8 });
const positive = () => fill(F).map(Math.abs);
const jumprelu = randomSae({ architecture: 'jumprelu' }, { threshold: positive() });
const gated = randomSae(
  { architecture: 'gated', inputNorm: 'layer' },
  { r_mag: fill(F, 0.3), b_mag: fill(F, 0.3) },
);
const signed = randomSae({ architecture: 'topk', K: 6, signed: true, inputNorm: 'norm' });
const centred = randomSae({ architecture: 'topk', K: 8, inputNorm: 'centre' });
const tokenBias = randomSae({ architecture: 'relu' }, { b_token: fill(96 * D, 0.2) });
const transcoder = randomSae(
  { architecture: 'jumprelu', Dout: D, metadata: { hook_name: 'blocks.1.hook_resid_mid' } },
  { threshold: positive(), W_skip: fill(D * D, 0.2) },
);

const cases: Record<string, () => InterventionSpec[]> = {
  'demo: add, but not to special tokens': () => [{ sae, latent: DNA, value: 2.5 * largest(DNA) }],
  'demo: patched latent and patched hook': () => [
    { sae, latent: DNA, mode: 'patch', text: 'ACGTTTAAGCACGTTTAAGC' },
    { hook: 'blocks.0.hook_resid_post', mode: 'patch', text: 'ACGT', positions: [[1, 3]] },
  ],
  'many latents and hooks': () => [
    { sae: topk, latent: 1, value: 4 },
    { sae: topk, latent: 2, mode: 'at-least', value: 3 },
    { sae: topk, latent: 7, mode: 'scale', value: -3 },
    { sae: early, latent: 3, mode: 'clamp', value: 5 },
  ],
  'at-most and zero': () =>
    Array.from({ length: F }, (_, latent) =>
      latent % 2 === 0
        ? { sae: topk, latent, mode: 'at-most', value: 0.2 }
        : { sae: topk, latent, mode: 'zero' },
    ),
  'prompt only': () => [{ sae: topk, latent: 1, value: 6, positions: 'prompt' }],
  'generated only': () => [{ sae: topk, latent: 1, value: 6, positions: 'generated' }],
  'ranges, from both ends': () => [
    {
      sae: topk,
      latent: 1,
      value: 6,
      positions: [
        [1, 3],
        [-1, 9],
      ],
    },
    { sae: topk, latent: 4, value: 5, positions: [[-2, null]] },
  ],
  'rules over this and an earlier hook': () => [
    { sae: topk, latent: 1, value: 6, when: { sae: early, latent: 3, below: 0.5 } },
    { sae: topk, latent: 2, value: 6, when: { latent: 4, above: 0.1 } },
    ...Array.from(
      { length: F },
      (_, latent) => ({ sae: early, latent, mode: 'suppress', above: 0.3 }) as const,
    ),
  ],
  splice: () => [{ sae: topk, mode: 'splice' }],
  'without the error, with an edit': () => [
    { sae: topk, latent: 1, mode: 'clamp', value: 4, keepError: false, positions: 'generated' },
  ],
  directions: () => [
    { vector: fill(D), hook: 'blocks.1.hook_resid_post', value: 2 },
    { vector: fill(D), hook: 'blocks.1.attn.hook_z', mode: 'zero' },
    { vector: fill(D), hook: 'blocks.0.attn.hook_z', mode: 'clamp', value: 3 },
  ],
  jumprelu: () => [{ sae: jumprelu, latent: 5, mode: 'clamp', value: 4 }],
  'gated, layer norm': () => [
    { sae: gated, latent: 5, mode: 'clamp', value: 3 },
    { sae: gated, latent: 9, mode: 'scale', value: 8, keepError: false },
  ],
  'signed, normalised by length': () => [
    { sae: signed, latent: 5, mode: 'scale', value: 9 },
    { sae: signed, mode: 'splice' },
  ],
  'centred rows': () => [
    { sae: centred, latent: 5, mode: 'scale', value: 9 },
    { sae: centred, mode: 'splice' },
  ],
  'token bias': () => [{ sae: tokenBias, mode: 'splice' }],
  'skip transcoder': () => [
    { sae: transcoder, mode: 'splice' },
    { sae: transcoder, latent: 8, value: 2 },
  ],
};

test.each(Object.keys(cases))('%s', async (name) => {
  const { model, location, prompts } = models[name.startsWith('demo') ? 'demo' : 'small']!;
  const interventions = await steer(model, cases[name]!());
  const out = await mkdtemp(join(tmpdir(), 'saekit-bake-'));
  onTestFinished(() => rm(out, { recursive: true }));
  const folder = await openLocation(location, {});
  const opened = await openModelGraph(folder);
  await writePlainModel(folder, opened, folderWriter(out), {
    change: (graph) => bakeInterventions(graph, model.hooks, interventions),
  }).finally(() => opened.files.close());
  const { V, kvHeads, headDim } = model.info;
  const { ort } = getPlatform();
  const session = await ort.InferenceSession.create(join(out, 'onnx/model.onnx'));
  const greedy = await plainGreedy(ort, session, prompts, { tokens: TOKENS, cache: [kvHeads, headDim] });
  await session.release();

  const [texts, plain] = [
    await model.generateBatch(padBatch(prompts), { maxNewTokens: TOKENS, interventions }),
    await model.generateBatch(padBatch(prompts), { maxNewTokens: TOKENS }),
  ];
  expect(greedy.ids.map((ids, b) => ids.slice(0, texts[b]!.ids.length))).toEqual(texts.map(({ ids }) => ids));
  // It does something.
  expect(texts.map(({ ids }) => ids)).not.toEqual(plain.map(({ ids }) => ids));
  for (const [b, prompt] of prompts.entries()) {
    const options = { logits: true, interventions, promptLengths: [prompt.length] };
    const { logits } = await model.run(padBatch([prompt]), options);
    const expected = logits!.data.subarray(-V);
    const rms = Math.hypot(...expected) / Math.sqrt(V);
    const worst = expected.reduce((max, x, i) => Math.max(max, Math.abs(x - greedy.logits[b]![i]!)), 0);
    expect(worst / rms).toBeLessThan(1e-4);
  }

  // Opened here the layers behind a change may not be recognised; text and losses are those of the file's own logits all the same.
  const again = await openModel(join(out, 'onnx/model.onnx'), { threads: 1 });
  onTestFinished(() => again.close());
  const batch = padBatch(prompts);
  const { logits } = await again.run(batch, { logits: true });
  const { data: losses } = await again.lossPerToken(batch);
  for (const [b, prompt] of prompts.entries())
    for (let t = 0; t + 1 < prompt.length; t++) {
      const row = logits!.data.subarray((b * batch.T + t) * V, (b * batch.T + t + 1) * V);
      const most = row.reduce((x, y) => Math.max(x, y));
      const sum = row.reduce((total, x) => total + Math.exp(x - most), 0);
      expect(losses[b * (batch.T - 1) + t]).toBeCloseTo(Math.log(sum) + most - row[prompt[t + 1]!]!, 3);
    }
  // Without a cache the whole text is read at every step, and counts as the prompt.
  if (/prompt only|generated|ranges|without the error/.test(name)) return;
  const { length } = texts[0]!.ids;
  const [text] = await again.generateBatch(padBatch([prompts[0]!]), { maxNewTokens: length });
  expect(text!.ids).toEqual(texts[0]!.ids);
});

test('changes of some rows of a batch are refused: an exported model does not know which row is which', async () => {
  const { model, location } = models.demo!;
  const some = inRows(await steer(model, [{ sae, latent: DNA, value: 1 }]), [0, 1]);
  const opened = await openModelGraph(await openLocation(location, {}));
  onTestFinished(() => opened.files.close());
  expect(() => bakeInterventions(opened.graph, model.hooks, some)).toThrow(
    /some rows of a batch cannot be baked in/,
  );
});
