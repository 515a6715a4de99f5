/**
 * SAEs of a model with centred weights (TransformerLens's center_writing_weights) in the model as it is. The oracle is a model whose weights are
 * centred: everything that writes to the residual stream loses its mean over D. With LayerNorm that changes no logit.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { joinChunks, readSafetensors, type TensorInput, writeSafetensors } from '../src/formats/index.ts';
import { runWithSaes } from '../src/hooked/index.ts';
import { type Model, openModel, padBatch } from '../src/models/index.ts';
import { fromBytes } from '../src/platform/index.ts';
import { openFolder } from '../src/platform/node.ts';
import { dense, encode, loadSae, openSae, type Sae, saveSae } from '../src/sae/index.ts';
import { createRng } from '../src/shared/rng.ts';
import { steer } from '../src/steer/index.ts';
import { folderWriter } from '../src/store/index.ts';
import { goldenFolder, relativeError } from './golden/models/compare.ts';

const root = mkdtempSync(join(tmpdir(), 'saekit-centred-'));
const batch = padBatch([[1, 7, 90, 33, 4, 61, 200, 12]]);
const [F, kwargs] = [48, { center_writing_weights: true }];
let [model, centred] = [] as unknown as [Model, Model];
let D = 0;

beforeAll(async () => {
  const from = goldenFolder('gpt2-new');
  const to = join(root, 'model');
  cpSync(from, to, { recursive: true });
  const file = await readSafetensors(fromBytes(readFileSync(join(from, 'model.safetensors'))));
  const tensors: Record<string, TensorInput> = {};
  for (const [name, { shape }] of file.tensors) {
    const data = await file.readFloat32(name);
    const writes = /wte|wpe|c_proj/.test(name);
    tensors[name] = { dtype: 'F32', shape, data: writes ? withoutMean(data, shape.at(-1)!) : data };
    if (/wte/.test(name)) tensors['lm_head.weight'] = { dtype: 'F32', shape, data };
  }
  writeFileSync(join(to, 'model.safetensors'), joinChunks(writeSafetensors(tensors)));
  const config = JSON.parse(readFileSync(join(from, 'config.json'), 'utf8')) as object;
  writeFileSync(join(to, 'config.json'), JSON.stringify({ ...config, tie_word_embeddings: false }));
  [model, centred] = [await openModel(from, { threads: 1 }), await openModel(to, { threads: 1 })];
  D = model.info.D;
});
afterAll(async () => {
  await Promise.all([model.close(), centred.close()]);
  rmSync(root, { recursive: true });
});

function withoutMean(rows: Float32Array, width: number): Float32Array {
  const means = meansOf(rows, width);
  return rows.map((value, i) => value - means[Math.floor(i / width)]!);
}
const meansOf = (rows: Float32Array, width: number): number[] =>
  Array.from(
    { length: rows.length / width },
    (_, row) => rows.subarray(row * width, (row + 1) * width).reduce((sum, value) => sum + value, 0) / width,
  );

const close = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  relativeError(
    { data: Float32Array.from(a), dims: [a.length] },
    { data: Float32Array.from(b), dims: [b.length] },
  );

let files = 0;
/** An SAE of SAELens's format: as it was trained, in the centred model, and as it is loaded for the model as it is. */
async function pair(
  hook_name: string,
  own: { architecture: 'relu' | 'gated' } | { architecture: 'topk'; K: number },
): Promise<{ trained: Sae; loaded: Sae; folder: string }> {
  const rng = createRng(hook_name);
  const fill = (n: number, scale = 0.3) => Float32Array.from({ length: n }, () => scale * rng.normal());
  const metadata = { hook_name, model_name: 'gpt2-small', model_from_pretrained_kwargs: kwargs };
  const trained: Sae = {
    config: { D, F, metadata, ...own },
    ...{ W_enc: fill(F * D), b_enc: fill(F), W_dec: fill(F * D), b_dec: fill(D).map((b) => b + 0.5) },
    ...(own.architecture === 'gated' ? { r_mag: fill(F), b_mag: fill(F) } : {}),
  };
  const folder = join(root, `sae-${files++}`);
  await saveSae(folderWriter(folder), trained, { format: 'saelens' });
  return { trained, loaded: await loadSae(folder), folder };
}

test('the oracle: the centred model writes the same logits, and its stream is that of the other less its mean', async () => {
  const hooks = model.hooks.map(({ name }) => name).filter((name) => /^(?:blocks\.\d+\.)?hook_/.test(name));
  const [plain, other] = [
    await model.run(batch, { hooks, logits: true }),
    await centred.run(batch, { hooks, logits: true }),
  ];
  expect(relativeError(other.logits!, plain.logits!)).toBeLessThan(1e-5);
  expect(Object.keys(plain.cache).length).toBe(12);
  for (const [hook, { data, dims }] of Object.entries(plain.cache)) {
    expect(relativeError(other.cache[hook]!, { data: withoutMean(data, D), dims }), hook).toBeLessThan(1e-5);
    expect(relativeError(other.cache[hook]!, { data, dims }), hook).toBeGreaterThan(0.05);
  }
});

describe.each(['hook_resid_pre', 'hook_resid_mid', 'hook_resid_post', 'hook_attn_out', 'hook_mlp_out'])(
  '%s',
  (name) => {
    const hook = `blocks.1.${name}`;
    test.each([{ architecture: 'relu' }, { architecture: 'gated' }, { architecture: 'topk', K: 9 }] as const)(
      'codes, what is spliced in, and steering: $architecture',
      async (own) => {
        const { trained, loaded } = await pair(hook, own);
        expect(loaded.config.inputNorm).toBe('centre');
        const x = (await model.run(batch, { hooks: [hook] })).cache[hook]!.data;
        const there = (await centred.run(batch, { hooks: [hook] })).cache[hook]!.data;
        const codes = async (sae: Sae, rows: Float32Array) => dense(await encode(sae, rows), F);
        const wanted = await codes(trained, there);
        expect(close(await codes(loaded, x), wanted)).toBeLessThan(1e-5);
        expect(close(await codes(trained, x), wanted)).toBeGreaterThan(0.05);

        const spliced = await runWithSaes(model, batch, [{ sae: loaded }], { hooks: [hook] });
        const oracle = await runWithSaes(centred, batch, [{ sae: trained }], { hooks: [hook] });
        expect(relativeError(spliced.logits!, oracle.logits!)).toBeLessThan(1e-5);
        // The mean of x is kept where the SAE stands.
        const means = meansOf(x, D);
        const back = oracle.cache[hook]!.data.map((value, i) => value + means[Math.floor(i / D)]!);
        expect(close(spliced.cache[hook]!.data, back)).toBeLessThan(1e-5);

        const latent = wanted.findIndex((value) => value > 0) % F;
        const change = { latent, mode: 'scale', value: 4 } as const;
        const steered = async (one: Model, sae: Sae) =>
          (await one.run(batch, { logits: true, interventions: await steer(one, [{ sae, ...change }]) }))
            .logits!;
        expect(relativeError(await steered(model, loaded), await steered(centred, trained))).toBeLessThan(
          1e-5,
        );
      },
    );
  },
);

test("it is said to people, kept by SAELens's format, and refused where it cannot be had", async () => {
  const { folder, loaded } = await pair('blocks.1.hook_resid_post', { architecture: 'relu' });
  const opened = await openSae(folder);
  await opened.close();
  expect(opened.plan.notes.join()).toMatch(/centred weights.*reads x less its mean/);
  const again = join(root, 'again');
  await saveSae(folderWriter(again), loaded, { format: 'saelens' });
  expect(await loadSae(again)).toEqual(loaded);

  const read = async (metadata: object, more: object = {}) => {
    const path = join(folder, 'cfg.json');
    const cfg = JSON.parse(readFileSync(path, 'utf8')) as { metadata: object };
    writeFileSync(path, JSON.stringify({ ...cfg, ...more, metadata: { ...cfg.metadata, ...metadata } }));
    const { plan, close } = await openSae(folder);
    await close();
    return { norm: plan.config.inputNorm, notes: plan.notes.join() };
  };
  // TransformerLens leaves models with RMS norms as they are, and hooks beside the stream have no other values.
  expect(await read({ model_name: 'gemma-2-2b' })).toMatchObject({
    norm: undefined,
    notes: expect.stringMatching(/passes over for models with RMS norms/),
  });
  expect(await read({ model_name: 'gpt2', hook_name: 'blocks.1.attn.hook_z' })).toEqual({
    norm: undefined,
    notes: '',
  });
  expect(
    await read({ hook_name: 'blocks.1.hook_resid_post' }, { normalize_activations: 'layer_norm' }),
  ).toMatchObject({ norm: 'layer' });
  await expect(read({}, { normalize_activations: 'constant_norm_rescale' })).rejects.toThrow(
    /centred weights.*rows scaled to one length.*not read/,
  );
  const folded = {
    hook_name: 'blocks.1.attn.hook_z',
    model_from_pretrained_kwargs: { fold_value_biases: true },
  };
  await expect(read(folded, { normalize_activations: 'none' })).rejects.toThrow(
    /loaded with fold_value_biases, which makes other values/,
  );
});

test('what a registry says takes the place of what stands in cfg.json, of either age', async () => {
  const folder = await openFolder(fileURL('saelens-v3-relu'), {}, 'sae');
  const read = async (overrides?: Record<string, unknown>) => {
    const { plan, close } = await openSae({ ...folder, ...(overrides ? { overrides } : {}) });
    await close();
    return plan;
  };
  const plain = await read();
  const { hook_name } = plain.config.metadata;
  expect([plain.config.inputNorm, hook_name]).toEqual([undefined, 'blocks.1.hook_resid_post']);
  expect(plain.notes.join()).toMatch(/does not say whether the weights of the model were centred/);
  const changed = await read({ model_from_pretrained_kwargs: kwargs, dataset_path: 'a/b' });
  expect(changed.config).toMatchObject({ inputNorm: 'centre', metadata: { dataset_path: 'a/b', hook_name } });
  expect((await read({ normalize_activations: 'constant_norm_rescale' })).config.inputNorm).toBe('norm');
  await expect(read({ use_hyperbolic_encoder: true })).rejects.toThrow(
    /use_hyperbolic_encoder is not known here/,
  );

  const { folder: path } = await pair('blocks.1.hook_resid_post', { architecture: 'relu' });
  const modern = await openSae({
    ...(await openFolder(path, {}, 'sae')),
    overrides: {
      model_from_pretrained_kwargs: { center_writing_weights: false },
      normalize_activations: 'layer_norm',
    },
  });
  await modern.close();
  expect(modern.plan.config).toMatchObject({ inputNorm: 'layer', metadata: { model_name: 'gpt2-small' } });
});

const fileURL = (name: string): string => new URL(`./golden/sae/formats/${name}`, import.meta.url).pathname;
