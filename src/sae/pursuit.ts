/**
 * Codes by matching pursuit (variants/matching-pursuit.ts): a product of all latents a step, for the rows that are not finished.
 *
 *     scores [rows,F] = R W^T, in tiles of latents;  the best latent of each row is taken out of its residual R [rows,D]
 */
import { latentTile, type Product, rowTile } from './product.ts';
import type { SparseCode } from './types.ts';
import type { Selection } from './variants/variant.ts';

export type Pursuit = Selection & { readonly by: 'pursuit' };

/** The codes of rows R [rows,D], at most `rowTile`, that are already normalised and centred; R is used up. W [F,D]. */
export async function pursue(
  product: Product,
  W: Float32Array,
  D: number,
  R: Float32Array,
  { residualThreshold, steps, revisits }: Pursuit,
  signal?: AbortSignal,
): Promise<SparseCode> {
  const F = W.length / D;
  const B = R.length / D;
  const none = new Float32Array(latentTile);
  const scores = new Float32Array(Math.min(rowTile, B) * latentTile);
  const codes = Array.from({ length: B }, () => new Map<number, number>());
  /** The row that line n of R is of; finished rows give their line to the last one. */
  const rowOf = Int32Array.from({ length: B }, (_, b) => b);
  let left = B;
  for (let step = 0; step < steps && left > 0; step++) {
    signal?.throwIfAborted();
    const best = new Float32Array(left).fill(Number.NEGATIVE_INFINITY);
    const latent = new Int32Array(left);
    for (let first = 0; first < F; first += latentTile) {
      const width = Math.min(latentTile, F - first);
      const tile = scores.subarray(0, left * width);
      const part = W.subarray(first * D, (first + width) * D);
      await product.run(R.subarray(0, left * D), part, none.subarray(0, width), tile, D);
      for (let n = 0; n < left; n++)
        for (let f = 0; f < width; f++)
          if (tile[n * width + f]! > best[n]!) [best[n], latent[n]] = [tile[n * width + f]!, first + f];
    }
    for (let n = left - 1; n >= 0; n--) {
      const row = R.subarray(n * D, (n + 1) * D);
      const taken = latent[n]!;
      const atom = W.subarray(taken * D, (taken + 1) * D);
      let value = 0;
      for (let d = 0; d < D; d++) value += row[d]! * atom[d]!;
      value = Math.max(0, value);
      let error = 0;
      for (let d = 0; d < D; d++) error += (row[d]! -= value * atom[d]!) ** 2;
      const code = codes[rowOf[n]!]!;
      const isNew = value > 0 && !code.has(taken);
      if (value > 0) code.set(taken, (code.get(taken) ?? 0) + value);
      // Nothing is left that any latent points to: every step from here on would change nothing.
      const still = value === 0 || (!revisits && !isNew);
      if (!still && !(residualThreshold > 0 && Math.sqrt(error) < residualThreshold)) continue;
      left--;
      R.copyWithin(n * D, left * D, (left + 1) * D);
      rowOf[n] = rowOf[left]!;
    }
  }
  return sparse(codes);
}

/** Codes as rows of one width, largest first, equal values by latent. */
function sparse(codes: readonly ReadonlyMap<number, number>[]): SparseCode {
  const B = codes.length;
  const K = codes.reduce((most, { size }) => Math.max(most, size), 1);
  const code = { B, K, values: new Float32Array(B * K), indices: new Int32Array(B * K) };
  for (const [b, found] of codes.entries())
    for (const [k, [latent, value]] of [...found].sort((p, q) => q[1] - p[1] || p[0] - q[0]).entries()) {
      code.values[b * K + k] = value;
      code.indices[b * K + k] = latent;
    }
  return code;
}
