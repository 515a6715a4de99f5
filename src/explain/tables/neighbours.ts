/**
 * The nearest decoder rows of every latent: the largest cos(d_f, d_g), g ≠ f, over all pairs in tiles of rows and latents.
 */
import { getPlatform } from '../../platform/index.ts';
import { createProduct, latentTile, rowTile } from '../../sae/product.ts';

export type Neighbours = {
  /** [n,k] latents, nearest first; −1 where there are fewer. */
  readonly latents: Int32Array;
  /** [n,k] */
  readonly cosines: Float32Array;
};

/**
 * @param W [F,D] latent-major
 * @param of the latents whose neighbours are looked for [n]; all F are candidates
 */
export async function nearestRows(
  W: Float32Array,
  F: number,
  of: readonly number[],
  k: number,
  {
    signal,
    onProgress,
  }: { readonly signal?: AbortSignal; readonly onProgress?: (done: number) => void } = {},
): Promise<Neighbours> {
  const D = W.length / F;
  const unit = new Float32Array(W.length);
  for (let f = 0; f < F; f++) {
    let square = 0;
    for (let d = 0; d < D; d++) square += W[f * D + d]! ** 2;
    const scale = square > 0 ? 1 / Math.sqrt(square) : 0;
    for (let d = 0; d < D; d++) unit[f * D + d] = W[f * D + d]! * scale;
  }
  const latents = new Int32Array(of.length * k).fill(-1);
  const cosines = new Float32Array(of.length * k).fill(Number.NEGATIVE_INFINITY);
  const product = await createProduct(getPlatform().threads);
  const zeros = new Float32Array(latentTile);
  const tile = new Float32Array(rowTile * latentTile);
  try {
    for (let first = 0; first < of.length; first += rowTile) {
      const rows = of.slice(first, first + rowTile);
      const x = new Float32Array(rows.length * D);
      for (const [r, f] of rows.entries()) x.set(unit.subarray(f * D, (f + 1) * D), r * D);
      for (let from = 0; from < F; from += latentTile) {
        signal?.throwIfAborted();
        const width = Math.min(latentTile, F - from);
        const cos = tile.subarray(0, rows.length * width);
        await product.run(x, unit.subarray(from * D, (from + width) * D), zeros.subarray(0, width), cos, D);
        for (const [r, f] of rows.entries()) {
          const base = (first + r) * k;
          for (let g = 0; g < width; g++) {
            const value = cos[r * width + g]!;
            if (value <= cosines[base + k - 1]! || from + g === f) continue;
            let place = base + k - 1;
            for (; place > base && cosines[place - 1]! < value; place--) {
              cosines[place] = cosines[place - 1]!;
              latents[place] = latents[place - 1]!;
            }
            cosines[place] = value;
            latents[place] = from + g;
          }
        }
      }
      onProgress?.(Math.min(of.length, first + rowTile));
    }
  } finally {
    await product.close();
  }
  return { latents, cosines };
}
