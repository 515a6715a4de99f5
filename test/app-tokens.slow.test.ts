// The app in Chromium with a model whose tokenizer changes the text: BERT, small letters without accents, pieces of words.
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import '../src/platform/node.ts';
import {
  encodeTexts,
  folderWriter,
  latentColumn,
  loadSae,
  openModel,
  type SparseCode,
  saveSae,
} from '../src/index.ts';
import { createRng } from '../src/shared/rng.ts';
import { writeTinyEncoder } from './fixtures/tiny-encoder.ts';
import { type App, settled, startApp } from './support/app.ts';
import { findBrowser } from './support/chromium.ts';

const chromium = findBrowser();
const [RUN, TEXT] = ['encoder', 'The Knight took E5,\nthen Zoë left <div> 12'];
let app: App;
let tokens: readonly string[];
let code: SparseCode;
beforeAll(async () => {
  if (!chromium) return;
  app = await startApp(chromium);
  const folder = writeTinyEncoder(join(app.fixture.path, 'tiny-encoder'));
  const model = await openModel(folder, { threads: 1 });
  const [{ D }, F] = [model.info, 24];
  const rng = createRng('an SAE of an encoder');
  const normal = (n: number) => Float32Array.from({ length: n }, () => rng.normal());
  const metadata = {
    hook_name: 'blocks.0.hook_normalized_resid_post',
    model_name: folder,
    model_hash: model.info.hash,
  };
  const run = join(app.fixture.folder, RUN);
  await saveSae(folderWriter(run), {
    config: { architecture: 'topk', D, F, K: 4, metadata },
    ...{ W_enc: normal(F * D), b_enc: new Float32Array(F), W_dec: normal(F * D), b_dec: new Float32Array(D) },
  });
  for await (const read of encodeTexts(model, await loadSae(run), TEXT)) ({ tokens, code } = read);
  await model.close();
}, 120_000);
afterAll(() => app?.close());

describe.runIf(chromium)('tokens that are not the text as it stands', () => {
  it('are coloured where they stand', async () => {
    const page = await app.open(`/?run=${RUN}&text=${encodeURIComponent(TEXT)}`);
    await page.waitForSelector('.card');
    const spans = await page.$$eval('.backdrop [data-t]', (found) =>
      found.map((span) => ({
        t: Number((span as HTMLElement).dataset.t),
        text: span.textContent ?? '',
        coloured: Number((span as HTMLElement).style.getPropertyValue('--a') || 0) > 0,
      })),
    );
    expect(spans.map(({ text }) => text).join('')).toBe(TEXT);
    // Small letters without accents and spaces of each are the token; what has no letters is [UNK].
    for (const { t, text } of spans) {
      const plain = text
        .normalize('NFD')
        .replace(/[\p{M}\s]/gu, '')
        .toLowerCase();
      if (/^\w+$/.test(plain)) expect(tokens[t]!.trim()).toBe(plain);
      else expect(tokens[t]).toBe('[UNK]');
    }
    expect(spans).toHaveLength(tokens.length - 2);
    expect(spans.filter(({ coloured }) => coloured).length).toBe(
      spans.filter(({ t }) =>
        Array.from({ length: code.K }, (_, k) => code.values[t * code.K + k]!).some((z) => z > 0),
      ).length,
    );
    await page.context().close();
  });

  it('and a tag at the beginning of a text of one’s own is shown, [CLS] and [SEP] are not', async () => {
    const typed = `<div> ${TEXT}`;
    const latent = Array.from({ length: 24 }, (_, f) => f).find((f) =>
      latentColumn(code, f).some((value) => value > 0),
    )!;
    const page = await app.open(`/feature/${RUN}/${latent}?text=${encodeURIComponent(typed)}`);
    await page.waitForSelector('.reading');
    await settled(page);
    expect(await page.textContent('.reading')).toBe(typed);
    await page.context().close();
  });

  it('no page had an error', () => expect(app.errors).toEqual([]));
});
