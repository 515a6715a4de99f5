/** Exported models in the engine, fed as other programs feed them: logits and greedy text are those of the model here, of every family. */
import { readdirSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import '../../platform/node.ts';
import { plainGreedy } from '../../../test/fixtures/plain-greedy.ts';
import { demoModel } from '../../../test/support/demo.ts';
import { getPlatform } from '../../platform/index.ts';
import { createRng } from '../../shared/rng.ts';
import { folderWriter } from '../../store/index.ts';
import { padBatch } from '../batch.ts';
import { openLocation, openModel, openModelGraph } from '../open.ts';
import { writePlainModel } from './write.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const golden = join(root, 'test/golden/models');
const folders = readdirSync(golden, { recursive: true, encoding: 'utf8' })
  .filter((file) => basename(file) === 'config.json' && !/^(bert|tokenizers)/.test(file))
  .map((file) => dirname(file));

async function exported(location: string, dtype: 'stored' | 'float32' = 'stored'): Promise<string> {
  const out = await mkdtemp(join(tmpdir(), 'saekit-export-'));
  onTestFinished(() => rm(out, { recursive: true }));
  const folder = await openLocation(location, {});
  const model = await openModelGraph(folder);
  await writePlainModel(folder, model, folderWriter(out), { dtype }).finally(() => model.files.close());
  return out;
}

const TOKENS = 12;
/** Heads of keys and their width. */
const CACHES: Record<string, [number, number]> = { 'qwen3-bf16': [2, 16], 'gpt2-exact-f16': [4, 8] };

test.each(folders.filter((folder) => !folder.endsWith('dynamic')))(
  '%s: prompts of unequal length, with a cache',
  async (name) => {
    const out = await exported(join(golden, name));
    const model = await openModel(join(golden, name), { threads: 1 });
    onTestFinished(() => model.close());
    const { V, kvHeads, headDim, contextLength } = model.info;
    const rng = createRng(name);
    const length = Math.min(contextLength - TOKENS, 24);
    const prompts = [length, 3, 1].map((n) => Array.from({ length: n }, () => rng.int(V)));
    const texts = await model.generateBatch(padBatch(prompts), { maxNewTokens: TOKENS });
    const { ort } = getPlatform();
    const session = await ort.InferenceSession.create(join(out, 'onnx/model.onnx'));
    const greedy = await plainGreedy(ort, session, prompts, { tokens: TOKENS, cache: [kvHeads, headDim] });
    await session.release();
    for (const [b, { ids, end }] of texts.entries()) {
      expect(greedy.ids[b]!.slice(0, ids.length)).toEqual(ids);
      // After an end token the loop above goes on, and the text here does not.
      if (end === 'token') expect(model.info.eosTokenIds).toContain(greedy.ids[b]![ids.length]);
      else expect(ids.length).toBe(TOKENS);
    }
    for (const [b, prompt] of prompts.entries()) {
      const { logits } = await model.run(padBatch([prompt]), { logits: true });
      const expected = logits!.data.subarray(-V);
      const rms = Math.hypot(...expected) / Math.sqrt(V);
      const worst = expected.reduce((max, x, i) => Math.max(max, Math.abs(x - greedy.logits[b]![i]!)), 0);
      expect(worst / rms).toBeLessThan(5e-5);
    }
  },
);

test('the folder opens here again, with the same text', async () => {
  const out = await exported(join(root, 'demo/model'));
  const options = { maxNewTokens: 10, temperature: 0 };
  const texts: string[] = [];
  for (const location of [join(root, 'demo/model'), join(out, 'onnx/model.onnx')]) {
    const model = await openModel(location, { threads: 1 });
    texts.push(await model.generate('The meeting will be held', options));
    expect(model.hooks.map(({ name }) => name)).toContain(`blocks.${demoModel.layers - 1}.hook_resid_post`);
    await model.close();
  }
  expect(texts[1]).toBe(texts[0]);
  expect(texts[0]!.length).toBeGreaterThanOrEqual(10);
  const config = JSON.parse(await readFile(join(out, 'config.json'), 'utf8'));
  expect(config['transformers.js_config']).toEqual({
    dtype: 'fp32',
    use_external_data_format: { 'model.onnx': 1 },
  });
});

test('half precision, as it is stored and widened: the same numbers', async () => {
  for (const name of ['qwen3-bf16', 'gpt2-exact-f16']) {
    const found: [bytes: number, logits: Float32Array][] = [];
    for (const dtype of ['stored', 'float32'] as const) {
      const out = await exported(join(golden, name), dtype);
      const { ort } = getPlatform();
      const session = await ort.InferenceSession.create(join(out, 'onnx/model.onnx'));
      const { logits } = await plainGreedy(ort, session, [[3, 5, 8]], { tokens: 1, cache: CACHES[name]! });
      await session.release();
      found.push([(await stat(join(out, 'onnx/model.onnx_data'))).size, logits[0]!]);
    }
    const [stored, wide] = found;
    expect(wide![1]).toEqual(stored![1]);
    expect(wide![0]).toBeGreaterThan(stored![0]);
  }
});

test('what cannot be exported says why', async () => {
  const refused = (name: string): Promise<string> =>
    exported(join(golden, name)).then(
      () => 'exported',
      (error: Error) => error.message,
    );
  expect(await refused('llama-dynamic')).toMatch(/dynamic scaling turn the keys/);
  expect(await refused('bert')).toMatch(/encoder and predicts no next token/);
});
