/** Transcoders in the released layouts of Gemma Scope 1 and 2 have their places in a Gemma model. */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { joinChunks, writeSafetensors } from '../src/formats/index.ts';
import { runWithSaes } from '../src/hooked/index.ts';
import { openModel } from '../src/models/index.ts';
import { outputPlace, placeSae } from '../src/models/place-sae.ts';
import '../src/platform/node.ts';
import { loadSae } from '../src/sae/index.ts';
import { createRng } from '../src/shared/rng.ts';
import { goldenFolder, relativeError } from './golden/models/compare.ts';

const root = mkdtempSync(join(tmpdir(), 'saekit-gemma-scope-'));
afterAll(() => rmSync(root, { recursive: true }));

/** A random transcoder of width D, as Gemma Scope 2 has it. */
async function transcoder(folder: string, D: number, config: object): Promise<string> {
  const F = 48;
  const rng = createRng(3);
  const tensor = (...shape: number[]) => ({
    dtype: 'F32' as const,
    shape,
    data: Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => 0.3 * rng.normal()),
  });
  await mkdir(join(root, folder), { recursive: true });
  const chunks = writeSafetensors({
    ...{ w_enc: tensor(D, F), w_dec: tensor(F, D), b_enc: tensor(F), b_dec: tensor(D) },
    threshold: { dtype: 'F32', shape: [F], data: new Float32Array(F).fill(0.1) },
    affine_skip_connection: tensor(D, D),
  });
  writeFileSync(join(root, folder, 'params.safetensors'), joinChunks(chunks));
  writeFileSync(join(root, folder, 'config.json'), JSON.stringify(config));
  return join(root, folder);
}

test.each(['gemma2', 'gemma3-text'])('%s', async (name) => {
  const model = await openModel(goldenFolder(name), { threads: 1 });
  const { D } = model.info;
  const layer = 'model.layers.1.';
  const second = await transcoder(`${name}/transcoder/layer_1_width_16k_l0_small_affine`, D, {
    ...{ architecture: 'jump_relu', affine_connection: true, type: 'transcoder', l0: 20 },
    hf_hook_point_in: `${layer}pre_feedforward_layernorm.output`,
    hf_hook_point_out: `${layer}post_feedforward_layernorm.output`,
  });
  const first = join(root, name, 'gemma-scope-2b-pt-transcoders/layer_1/width_16k/average_l0_20');
  const saes = [await loadSae(second)];
  await mkdir(join(first, '..'), { recursive: true });
  rmSync(join(second, 'config.json'));
  renameSync(second, first);
  saes.push(await loadSae(first));
  const batch = { ids: Int32Array.of(1, 5, 9, 30), mask: new Uint8Array(4).fill(1), B: 1, T: 4 };
  const { logits } = await model.run(batch, { logits: true });
  for (const [i, sae] of saes.entries()) {
    const reads = placeSae(model, sae, {});
    expect(reads).toBe(`blocks.1.${['mlp.hook_in', 'ln2.hook_normalized'][i]}`);
    expect(outputPlace(model, sae, reads)).toBe('blocks.1.hook_mlp_out');
    // With what it leaves out put back the model is as it was, without it another.
    const kept = await runWithSaes(model, batch, [{ sae }], { keepError: true });
    expect(relativeError(kept.logits!, logits!)).toBeLessThan(1e-5);
    const alone = await runWithSaes(model, batch, [{ sae }]);
    expect(relativeError(alone.logits!, logits!)).toBeGreaterThan(0.01);
  }
  await model.close();
});
