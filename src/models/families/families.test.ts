/** What must hold in every family, whatever its equation: checked on the tiny models that parity.test.ts compares with PyTorch. */
import { readFile } from 'node:fs/promises';
import { afterAll, describe, expect, test } from 'vitest';
import {
  BOUND,
  goldenFolder,
  MODELS,
  openGolden,
  relativeError,
  worstError,
} from '../../../test/golden/models/compare.ts';
import { joinChunks, type TensorInput, writeSafetensors } from '../../formats/index.ts';
import { folderFromBytes } from '../../platform/memory.ts';
import { openFolder } from '../../platform/node.ts';
import { padBatch } from '../batch.ts';
import { openModelFolder } from '../hf-folder.ts';
import { openModel } from '../open.ts';
import type { Model, Tensor, TokenBatch } from '../types.ts';

const models = new Map<string, Model>();
async function modelOf(name: string): Promise<Model> {
  const model = models.get(name) ?? (await openModel(goldenFolder(name), { threads: 1 }));
  models.set(name, model);
  return model;
}
afterAll(async () => {
  for (const model of models.values()) await model.close();
});

const perToken = (model: Model) => model.hooks.filter(({ dims }) => dims[1] === 'T').map(({ name }) => name);
const lastHook = (model: Model) => model.hooks.at(-1)!.name;

/** What all hooks per token, and the logits where there are any, are in a run. */
async function everything(model: Model, batch: TokenBatch): Promise<Map<string, Tensor>> {
  const { cache, logits } = await model.run(batch, {
    hooks: perToken(model),
    logits: !model.info.encoder,
  });
  return new Map([...Object.entries(cache), ...(logits ? [['logits', logits] as const] : [])]);
}

/** Positions [from, from + length) of row b. */
function stretch({ data, dims }: Tensor, b: number, from: number, length: number): Tensor {
  const [, T, ...rest] = dims as [number, number, ...number[]];
  const size = rest.reduce((product, n) => product * n, 1);
  const start = (b * T + from) * size;
  return { data: data.subarray(start, start + length * size), dims: [1, length, ...rest] };
}

/** What the model makes of the activations that it is given in place of a hook's own: logits, or an encoder's output. */
async function continued(
  model: Model,
  hook: string,
  activations: Tensor,
  batch: TokenBatch,
): Promise<Tensor> {
  if (!model.info.encoder) return await model.runFrom(hook, activations, batch);
  return await model.lastResidual(batch, { from: { hook, activations } });
}

describe.each(MODELS)('%s', (name) => {
  test('rows of a padded batch, on either side, are what each is alone, beyond windows too', async () => {
    const model = await modelOf(name);
    const lengths = [3, 14, 9];
    const T = 14;
    const texts = lengths.map((length, b) => Array.from({ length }, (_, t) => 3 + ((b * 31 + t * 17) % 58)));
    const right = padBatch(texts);
    const left: TokenBatch = { ids: new Int32Array(3 * T), mask: new Uint8Array(3 * T), B: 3, T };
    texts.forEach((ids, b) => {
      left.ids.set(ids, (b + 1) * T - ids.length);
      left.mask.fill(1, (b + 1) * T - ids.length, (b + 1) * T);
    });
    const together = [await everything(model, right), await everything(model, left)];
    for (const [b, length] of lengths.entries()) {
      const alone = await everything(model, padBatch([texts[b]!]));
      for (const [hook, wanted] of alone) {
        const found = together.map((values, side) =>
          stretch(values.get(hook)!, b, side * (T - length), length),
        );
        for (const one of found) expect(relativeError(one, wanted), hook).toBeLessThan(BOUND);
      }
    }
  });

  test('given a hook its own value the model goes on as before, given another it does not', async () => {
    const model = await modelOf(name);
    const batch = padBatch([Array.from({ length: 12 }, (_, t) => 3 + ((t * 17) % 58))]);
    const last = lastHook(model);
    for (const hook of perToken(model)) {
      // Each asked for by itself: a norm whose inside is asked for is not fused, which moves the last bits behind it.
      const { cache, logits } = model.info.encoder
        ? await model.run(batch, { hooks: [...new Set([hook, last])] })
        : await model.run(batch, { hooks: [hook], logits: true });
      const own = cache[hook]!;
      const end = model.info.encoder ? cache[last]! : logits!;
      expect(relativeError(await continued(model, hook, own, batch), end), hook).toBeLessThan(1e-6);
      const other = { data: own.data.map((x) => -x), dims: own.dims };
      expect(relativeError(await continued(model, hook, other, batch), end), hook).toBeGreaterThan(0.01);
    }
  });

  test('asking for residual hooks changes not one bit of what comes after', async () => {
    const model = await modelOf(name);
    const batch = await (await openGolden(name)).batch('plain');
    const hooks = perToken(model).filter((hook) => hook.includes('resid'));
    const options = model.info.encoder ? { hooks: [lastHook(model)] } : { logits: true };
    const alone = await model.run(batch, options);
    const together = await model.run(batch, { ...options, hooks });
    expect(together.logits?.data).toEqual(alone.logits?.data);
    for (const [hook, { data }] of Object.entries(alone.cache))
      expect(together.cache[hook]!.data).toEqual(data);
  });

  test('operations and weights are those of the tensors in the file', async () => {
    const model = await modelOf(name);
    const folder = await openModelFolder(await openFolder(goldenFolder(name)));
    // Of an encoder's file only the encoder is used; of a model that sees images, only the language model.
    const tensors = [...folder.weights.tensors.values()].filter(
      ({ name }) => !/^cls\.|pooler|vision_tower|multi_modal_projector/.test(name),
    );
    await folder.close();
    const isTable = /embed_tokens|embed_in|\.wte\.|\.wpe\.|_embeddings\.weight$/;
    const isHead = /lm_head|embed_out/;
    const size = (accept: (name: string, rank: number) => boolean) =>
      tensors
        .filter(({ name, shape }) => accept(name, shape.length))
        .reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
    const products = size((one, rank) => rank === 2 && !isTable.test(one) && !isHead.test(one));
    const { D, V, layers, heads, headDim, encoder } = model.info;
    const T = 16;
    const first = model.cost(['blocks.0.hook_resid_post'], { B: 2, T });
    expect(first.before.flops + first.after.flops).toBe(2 * products + layers * 4 * T * heads * headDim);
    expect(first.head.flops).toBe(encoder ? 0 : 2 * V * D);
    expect(model.info.parameters).toBe(size(() => true));
  });
});

/** Files of the hub, old and new, name the same tensors differently. */
const SPELLINGS: [string, string, (name: string) => string][] = [
  [
    'BERT without prefix, norms called as in TensorFlow',
    'bert',
    (name) =>
      name
        .replace(/^bert\./, '')
        .replace('LayerNorm.weight', 'LayerNorm.gamma')
        .replace('LayerNorm.bias', 'LayerNorm.beta'),
  ],
  [
    "GPT-NeoX's head of old, and no prefix",
    'neox-parallel',
    (name) => name.replace(/^gpt_neox\./, '').replace('lm_head', 'embed_out'),
  ],
  ["GPT-NeoX's head of new", 'neox-parallel', (name) => name.replace('embed_out', 'lm_head')],
  [
    'Gemma 3 beside an image encoder, old',
    'gemma3-images',
    (name) => name.replace(/^(model\.language_model|language_model\.model)\./, 'language_model.model.'),
  ],
  [
    'Gemma 3 beside an image encoder, new',
    'gemma3-images',
    (name) => name.replace(/^(model\.language_model|language_model\.model)\./, 'model.language_model.'),
  ],
  ['a bare model', 'llama3-tied-shards', (name) => name.replace(/^model\./, '')],
];
test.each(SPELLINGS)('tensors are found under other names: %s', async (_what, name, rename) => {
  const original = await openModelFolder(await openFolder(goldenFolder(name)));
  const tensors = new Map<string, TensorInput>();
  for (const tensor of original.weights.tensors.values()) {
    const data = await original.weights.files[tensor.file]!.readFloat32(tensor.name);
    tensors.set(rename(tensor.name), { dtype: 'F32', shape: tensor.shape, data });
  }
  await original.close();
  const files = new Map([
    ['config.json', await readFile(`${goldenFolder(name)}/config.json`)],
    ['model.safetensors', joinChunks(writeSafetensors(tensors))],
  ]);
  const model = await openModel(folderFromBytes('renamed', files), { threads: 1 });
  const { plain } = await worstError(model, await openGolden(name));
  expect(plain).toBeLessThan(BOUND);
  await model.close();
});
