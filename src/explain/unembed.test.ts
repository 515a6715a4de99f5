import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import '../platform/node.ts';
import { writeTinyModel } from '../../test/fixtures/tiny-model.ts';
import { goldenFolder } from '../../test/golden/models/compare.ts';
import { openModel } from '../models/index.ts';
import { createRng } from '../shared/rng.ts';
import { createUnembed } from './unembed.ts';

const folder = mkdtempSync(join(tmpdir(), 'saekit-unembed-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** One F32 tensor read straight from a safetensors file: length, JSON, bytes. */
function tensor(path: string, name: string): Float32Array {
  const bytes = readFileSync(path);
  const header = Number(bytes.readBigUInt64LE(0));
  const [start, end] = JSON.parse(bytes.toString('utf8', 8, 8 + header))[name].data_offsets;
  return new Float32Array(new Uint8Array(bytes.subarray(8 + header + start, 8 + header + end)).buffer);
}

it('gives W_U (g ⊙ d) of a model with RMSNorm and a tied head, for any number of directions', async () => {
  const model = await openModel(writeTinyModel(folder));
  const { D, V } = model.info;
  const path = join(folder, 'model.safetensors');
  const W = tensor(path, 'model.embed_tokens.weight');
  const g = tensor(path, 'model.norm.weight');
  const rng = createRng('directions');
  // More than one tile, of very different lengths.
  const m = 70;
  const directions = Float32Array.from({ length: m * D }, (_, i) => rng.normal() * (1 + Math.floor(i / D)));
  const effects = await createUnembed(model)(directions, m);
  await model.close();
  expect(effects.length).toBe(m * V);
  for (const j of [0, 1, 63, 64, 69]) {
    for (let v = 0; v < V; v += 17) {
      let expected = 0;
      let size = 0;
      for (let d = 0; d < D; d++) {
        expected += W[v * D + d]! * g[d]! * directions[j * D + d]!;
        size += (W[v * D + d]! * directions[j * D + d]!) ** 2;
      }
      expect(Math.abs(effects[j * V + v]! - expected)).toBeLessThan(1e-4 * Math.sqrt(size));
    }
  }
});

it('gives E ((1 + w) ⊙ d), not ended by the cap on logits, of Gemma 2', async () => {
  const model = await openModel(goldenFolder('gemma2'));
  const path = join(goldenFolder('gemma2'), 'model.safetensors');
  const E = tensor(path, 'model.embed_tokens.weight');
  const w = tensor(path, 'model.norm.weight');
  const { D, V } = model.info;
  // A direction along a token's own row: its logit is far beyond the cap of 6.
  const direction = Float32Array.from({ length: D }, (_, d) => 40 * E[7 * D + d]!);
  const effects = await createUnembed(model)(direction, 1);
  await model.close();
  for (let v = 0; v < V; v += 5) {
    let expected = 0;
    for (let d = 0; d < D; d++) expected += E[v * D + d]! * (1 + w[d]!) * direction[d]!;
    expect(effects[v]!).toBeCloseTo(expected, 3);
  }
});

it.each(['gpt2-new', 'neox-parallel', 'llama-untied', 'gemma2'])(
  'equals PyTorch on %s, whatever the mean of a direction',
  async (name) => {
    const golden = join(goldenFolder(name), 'effects.safetensors');
    const model = await openModel(goldenFolder(name));
    const effects = await createUnembed(model)(tensor(golden, 'directions'), 3);
    await model.close();
    const expected = tensor(golden, 'effects');
    const { V } = model.info;
    for (let j = 0; j < 3; j++) {
      const row = expected.subarray(j * V, (j + 1) * V);
      const rms = Math.sqrt(row.reduce((sum, value) => sum + value * value, 0) / V);
      for (let v = 0; v < V; v++) expect(Math.abs(effects[j * V + v]! - row[v]!)).toBeLessThan(1e-4 * rms);
    }
  },
);
