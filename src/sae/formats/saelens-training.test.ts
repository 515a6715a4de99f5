/** Checkpoints that SAELens's trainer leaves are read as what SAELens makes of them when it is done (test/oracles/sae/saelens_training.py). */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import '../../platform/node.ts';
import { joinChunks, writeSafetensors } from '../../formats/index.ts';
import { decode, dense } from '../decode.ts';
import { encode } from '../encode.ts';
import { loadSae } from '../load.ts';

const whitened = 'activation_whitening.safetensors';
const root = fileURLToPath(new URL('../../../test/golden/sae/saelens-training', import.meta.url));
const names = readdirSync(root);

async function differencesOf(name: string, folder = join(root, name)): Promise<{ z: number; xhat: number }> {
  const golden = JSON.parse(readFileSync(join(root, name, 'numbers.json'), 'utf8')) as Record<
    'x' | 'z' | 'xhat',
    number[]
  >;
  const sae = await loadSae(folder);
  const x = Float32Array.from(golden.x);
  const code = await encode(sae, x);
  const largest = (found: Float32Array, expected: number[]): number => {
    expect(found.length).toBe(expected.length);
    return expected.reduce((most, value, i) => Math.max(most, Math.abs(value - found[i]!)), 0);
  };
  return { z: largest(dense(code, sae.config.F), golden.z), xhat: largest(decode(sae, code), golden.xhat) };
}

test('every kind is here with an input scale and without', () => {
  for (const kind of ['standard', 'gated', 'jumprelu', 'topk', 'batchtopk', 'matryoshka'])
    expect(names).toEqual(expect.arrayContaining([kind, `${kind}-scaled`]));
});

test.each(names)('%s', async (name) => {
  const { z, xhat } = await differencesOf(name);
  // Activations are up to some tens.
  expect(z).toBeLessThan(2e-5);
  expect(xhat).toBeLessThan(2e-5);
});

test('without its statistics a whitened checkpoint is refused, and so is one with those of another width', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'saekit-whitened-'));
  try {
    cpSync(join(root, 'topk-whitened'), folder, { recursive: true });
    const tensors = (mean: number) => ({
      mean: { dtype: 'F32' as const, shape: [mean], data: new Float32Array(mean) },
      matrix: { dtype: 'F32' as const, shape: [6, 6], data: new Float32Array(36) },
      inverse_matrix: { dtype: 'F32' as const, shape: [6, 6], data: new Float32Array(36) },
    });
    writeFileSync(join(folder, whitened), joinChunks(writeSafetensors(tensors(5))));
    await expect(loadSae(folder)).rejects.toThrow(/mean is \[5\], expected \[6\] from d_in 6/);
    rmSync(join(folder, whitened));
    await expect(loadSae(folder)).rejects.toThrow(/there is no activation_whitening\.safetensors beside it/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

// The numbers would show it: what is active depends on the scale of the threshold, and so does the reconstruction.
test('without its scaler a scaled checkpoint is another SAE', async () => {
  const copies = mkdtempSync(join(tmpdir(), 'saekit-scaler-'));
  try {
    for (const name of names.filter((one) => one.endsWith('-scaled'))) {
      const folder = join(copies, name);
      cpSync(join(root, name), folder, { recursive: true });
      writeFileSync(
        join(folder, 'activation_scaler.json'),
        '{"scaling_factor": null, "has_whitening": false}',
      );
      const { xhat } = await differencesOf(name, folder);
      expect(xhat).toBeGreaterThan(1);
      for (const wrong of [0, -2, '"3"']) {
        writeFileSync(join(folder, 'activation_scaler.json'), `{"scaling_factor": ${wrong}}`);
        await expect(loadSae(folder)).rejects.toThrow(/scaling_factor is .*, expected a number above 0/);
      }
    }
  } finally {
    rmSync(copies, { recursive: true });
  }
});
