// Everything that a BERT can be used for: no next token, and all the rest.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { memoryDocuments, openActivations, openModel, packRows, runWithSaes } from '../src/index.ts';
import { evalConfigSchema, trainConfigSchema } from '../src/shared/config.ts';
import { harvestConfigSchema } from '../src/shared/harvest.ts';
import { evaluateSae, harvest, planPush, trainSae } from '../src/workflows/index.ts';
import { writeTinyEncoder } from './fixtures/tiny-encoder.ts';
import { writeTinyCorpus } from './fixtures/tiny-model.ts';

const folder = mkdtempSync(join(tmpdir(), 'saekit-encoder-'));
const path = (name: string) => join(folder, name);
const model = writeTinyEncoder(path('bert'));
const data = [writeTinyCorpus(path('corpus.jsonl'))];
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('trains, measures without cross-entropy, and shows latents without output tokens', async () => {
  const hook = 'blocks.0.hook_normalized_resid_post';
  const settings = {
    latents: 256,
    k: 8,
    tokens: 8192,
    batchTokens: 512,
    contextLength: 32,
    shuffleTokens: 1024,
  };
  const config = trainConfigSchema.parse({ model, data, hook, ...settings, evalTokens: 2000 });
  const { sae, measured, plan } = await trainSae(config, { folder: path('run') });
  const [own] = measured!.evaluation.candidates;
  expect(own!.fvu.value).toBeLessThan(0.9);
  expect(own!.ce.value).toBeNull();
  expect(measured!.evaluation).toMatchObject({ ceTokens: 0, klTokens: 0 });
  expect(measured!.evaluation.notes.join()).toContain('no cross-entropy, no KL');
  expect(plan.cost!.head).toMatchObject({ weightBytes: 0, flops: 0 });

  const { cards } = await evaluateSae(evalConfigSchema.parse({ sae: path('run'), maxTokens: 2000 }));
  expect(cards!.cards.length).toBeGreaterThan(0);
  for (const { raises } of cards!.cards) expect(raises).toEqual([]);
  expect(cards!.notes.join()).not.toContain('output effect');
  const { card } = await planPush(path('run'), 'me/tiny');
  expect(card).toContain('a strong passage');
  expect(card).not.toMatch(/saekit generate|raises/);

  // Inside the model: the SAE's reconstruction stands in for the activations.
  const open = await openModel(model);
  const { logits, loss, saes } = await runWithSaes(open, 'a bridge of light', [sae!]);
  expect([logits, loss]).toEqual([undefined, undefined]);
  expect(saes[0].hook).toBe(hook);
  await open.close();
});

it('harvests what the model gives', async () => {
  const hook = 'blocks.1.hook_resid_mid';
  const config = harvestConfigSchema.parse({ model, data, hooks: [hook], tokens: 600, contextLength: 32 });
  await harvest(config, { folder: path('kept') });
  const source = await openActivations(path('kept'));
  expect([source.D, source.meta.hook, source.meta.contextLength]).toEqual([32, hook, 32]);
  expect(source.rows).toBeGreaterThanOrEqual(600);
  await source.close();
});

it('packs documents between [CLS] and [SEP]', async () => {
  const open = await openModel(model);
  const tokenizer = open.tokenizer!;
  expect([open.info.bosTokenId, tokenizer.endId]).toEqual([2, 3]);
  expect(tokenizer.tokenStrings(tokenizer.encode('Ab c', { bos: true }))).toEqual([
    '[CLS]',
    ' a',
    'b',
    ' c',
    '[SEP]',
  ]);
  const rows = packRows({
    documents: memoryDocuments(['ab c', 'd']),
    tokenizer,
    contextLength: 8,
    bosTokenId: open.info.bosTokenId,
    order: 'files',
    endless: false,
    offsets: true,
  });
  const { ids, starts, ends } = (await rows.next(1))!;
  expect(tokenizer.tokenStrings([...ids])).toEqual([
    '[CLS]',
    ' a',
    'b',
    ' c',
    '[SEP]',
    '[CLS]',
    ' d',
    '[SEP]',
  ]);
  expect([...starts]).toEqual([0, 0, 1, 2, 4, 0, 0, 1]);
  expect([...ends]).toEqual([0, 1, 2, 4, 4, 0, 1, 1]);
  await open.close();
});
