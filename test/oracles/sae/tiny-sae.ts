/**
 * The SAE of test/golden/sae/ours: `npx tsx test/oracles/sae/tiny-sae.ts` writes it anew. The test checks that saving it still
 * gives the committed bytes, which SAELens was shown to load (generate.py).
 */
import { fileURLToPath } from 'node:url';
import { saveSae } from '../../../src/sae/save.ts';
import type { Sae } from '../../../src/sae/types.ts';
import { createRng } from '../../../src/shared/rng.ts';
import { folderWriter } from '../../../src/store/index.ts';

/** A random SAE with unit decoder rows and biases that matter. */
export function tinySae(D: number, F: number, K: number, seed = 'saelens golden'): Sae {
  const rng = createRng(seed);
  const normals = (n: number, scale: number): Float32Array =>
    Float32Array.from({ length: n }, () => rng.normal() * scale);
  const W_dec = normals(F * D, 1);
  for (let f = 0; f < F; f++) {
    const row = W_dec.subarray(f * D, (f + 1) * D);
    const norm = Math.hypot(...row);
    for (let d = 0; d < D; d++) row[d] = row[d]! / norm;
  }
  const metadata = {
    model_name: 'tiny-model',
    hook_name: 'blocks.1.hook_resid_post',
    hook_head_index: null,
    context_size: 128,
    prepend_bos: true,
    dataset_path: 'corpus.jsonl',
    exclude_special_tokens: true,
  };
  return {
    config: { architecture: 'topk', D, F, K, metadata },
    W_enc: normals(F * D, 0.5),
    b_enc: normals(F, 0.2),
    W_dec,
    b_dec: normals(D, 0.7),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const folder = fileURLToPath(new URL('../../golden/sae/ours', import.meta.url));
  saveSae(folderWriter(folder), tinySae(8, 24, 4));
}
