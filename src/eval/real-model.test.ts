import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import '../platform/node.ts';
import { writeTinyModel } from '../../test/fixtures/tiny-model.ts';
import { memoryDocuments, packRows } from '../data/index.ts';
import type { PackedRows } from '../data/types.ts';
import { openModel } from '../models/index.ts';
import type { Model } from '../models/types.ts';
import { encode } from '../sae/encode.ts';
import type { Sae } from '../sae/types.ts';
import { createRng } from '../shared/rng.ts';
import { pcaCandidate, saeCandidate } from './candidates.ts';
import { evaluate } from './evaluate.ts';
import { createMoments } from './moments.ts';
import { fitPca } from './pca.ts';
import { createRowReader } from './read-rows.ts';

const folder = mkdtempSync(join(tmpdir(), 'saekit-eval-'));
const hook = 'blocks.0.hook_resid_post';
let model: Model;
let batches: PackedRows[];

beforeAll(async () => {
  model = await openModel(writeTinyModel(folder));
  const rng = createRng('documents');
  const letters = [...'abcdefgh '];
  const texts = Array.from({ length: 40 }, () =>
    Array.from({ length: 40 + rng.int(60) }, () => rng.pick(letters)).join(''),
  );
  const rows = packRows({
    documents: memoryDocuments(texts),
    tokenizer: model.tokenizer!,
    contextLength: 64,
    bosTokenId: model.info.bosTokenId,
    endless: false,
  });
  batches = [];
  for (let next = await rows.next(8); next; next = await rows.next(8)) batches.push(next);
});
afterAll(async () => {
  await model.close();
  rmSync(folder, { recursive: true });
});

/** x = relu(x) − relu(−x): 2 D latents ±e_d of which D are active reproduce anything. */
function exactSae(D: number): Sae {
  const W = new Float32Array(2 * D * D);
  for (let d = 0; d < D; d++) {
    W[d * D + d] = 1;
    W[(D + d) * D + d] = -1;
  }
  const config = { architecture: 'topk', D, F: 2 * D, K: D, metadata: {} } as const;
  return { config, W_enc: W, b_enc: new Float32Array(2 * D), W_dec: W, b_dec: new Float32Array(D) };
}

describe('evaluate on a real model graph', () => {
  it('an exact SAE changes nothing, PCA is between it and its ablations, and engine losses equal those from logits', async () => {
    const { D } = model.info;
    const sae = exactSae(D);
    const specialIds = model.tokenizer!.specialIds;
    const read = createRowReader({ model, hook, encode: (x) => encode(sae, x), specialIds });
    const moments = createMoments(D);
    for (const packed of batches) {
      const { x, positions } = await read(packed);
      await moments.add(x, positions.length);
    }
    const options = {
      ...{ model, hook, batches, specialIds, mean: moments.mean(), resamples: 200 },
      candidates: [
        saeCandidate('SAE', sae),
        pcaCandidate(fitPca(moments, 8)),
        pcaCandidate(fitPca(moments, D)),
      ],
    };
    const result = await evaluate(options);
    const [exact, pca, full] = result.candidates;
    expect(exact!.fvu.value).toBeLessThan(1e-10);
    expect(exact!.latents!.l0.value).toBeCloseTo(D, 0);
    for (const perfect of [exact!, full!]) {
      expect(Math.abs(perfect.deltaCe.value!)).toBeLessThan(1e-5);
      expect(perfect.kl.value).toBeLessThan(1e-5);
      expect(perfect.cosine.value).toBeCloseTo(1, 6);
      expect(perfect.recoveredZero.value).toBeCloseTo(1, 3);
    }
    // PCA fitted on these very rows: its FVU is what the eigenvalues say.
    const { eigenvalues } = fitPca(moments, 8);
    const sum = (values: Float64Array) => values.reduce((a, b) => a + b, 0);
    expect(pca!.fvu.value).toBeCloseTo(sum(eigenvalues.subarray(8)) / sum(eigenvalues), 5);
    expect(pca!.kl.value).toBeGreaterThan(1e-3);
    const engine = await evaluate({ ...options, klTokens: 0 });
    for (const [c, candidate] of result.candidates.entries()) {
      expect(engine.candidates[c]!.ce.value).toBeCloseTo(candidate.ce.value!, 5);
    }
    expect(engine.cleanCe.value).toBeCloseTo(result.cleanCe.value!, 5);
  });
});
