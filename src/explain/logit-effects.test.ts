import { afterAll, beforeAll, expect, test } from 'vitest';
import '../platform/node.ts';
import { root } from '../../test/repository.ts';
import { demoModel, GREEK, late } from '../../test/support/demo.ts';
import { openModel } from '../models/index.ts';
import type { Model } from '../models/types.ts';
import { loadSae, type Sae } from '../sae/index.ts';
import { logitEffects } from './logit-effects.ts';
import { createUnembed } from './unembed.ts';

let model: Model;
let sae: Sae;
beforeAll(async () => {
  model = await openModel(`${root}/demo/model`, { threads: 1 });
  sae = await loadSae(late.folder);
}, 60_000);
afterAll(() => model.close());

test('the tokens with the largest and smallest effects, in order, those that cannot be read left out', async () => {
  const latents = [GREEK, 7, late.F - 1];
  const found = await logitEffects(model, sae, latents, { tokens: 5 });
  expect(found.map(({ latent }) => latent)).toEqual(latents);
  const { D } = sae.config;
  for (const { latent, raises, lowers } of found) {
    const effects = await createUnembed(model)(sae.W_dec.slice(latent * D, (latent + 1) * D), 1);
    const readable = [...effects.keys()].filter((id) => {
      const text = model.tokenizer!.tokenStrings([id])[0]!.trim();
      // biome-ignore lint/suspicious/noControlCharactersInRegex: those are meant.
      return !/[\ufffd\u0000-\u001f\u007f-\u009f]/.test(text);
    });
    const sorted = readable.sort((a, b) => effects[b]! - effects[a]!);
    for (const [shown, ids] of [
      [raises, sorted.slice(0, 5)],
      [lowers, sorted.slice(-5).reverse()],
    ] as const) {
      expect(shown.map(({ id }) => id)).toEqual(ids);
      for (const { id, token, effect } of shown) {
        expect(token).toBe(model.tokenizer!.tokenStrings([id])[0]);
        expect(effect).toBeCloseTo(effects[id]!, 4);
      }
    }
  }
  // Greek, as its card says.
  expect(found[0]!.raises.map(({ token }) => token).join()).toMatch(/\p{Script=Greek}/u);
});

test('refuses what has no effect, and latents that are not there', async () => {
  expect(await logitEffects(model, sae, [])).toEqual([]);
  await expect(logitEffects(model, sae, [late.F])).rejects.toThrow(
    `Latent ${late.F} is not there: this SAE has 0 to ${late.F - 1}.`,
  );
  await expect(logitEffects({ ...model, tokenizer: undefined }, sae, [1])).rejects.toThrow(
    /no tokenizer.json/,
  );
  const narrow = { ...sae, config: { ...sae.config, D: 96, F: 8192 } };
  await expect(logitEffects(model, narrow, [1])).rejects.toThrow(
    new RegExp(`width 96, the residual stream of .* ${demoModel.D}`),
  );
});
