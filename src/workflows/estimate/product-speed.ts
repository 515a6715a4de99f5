import { getPlatform } from '../../platform/index.ts';
import { createProduct, latentTile, rowTile } from '../../sae/product.ts';

/** Milliseconds of the encoder product x W^T per row and latent, 2 D operations, on all threads. */
export async function productTime(D: number): Promise<number> {
  const product = await createProduct(getPlatform().threads);
  const x = new Float32Array(rowTile * D).fill(0.5);
  const W = new Float32Array(latentTile * D).fill(0.5);
  const [b, pre] = [new Float32Array(latentTile), new Float32Array(rowTile * latentTile)];
  const times: number[] = [];
  for (let i = 0; i < 5; i++) {
    const before = performance.now();
    await product.run(x, W, b, pre, D);
    times.push(performance.now() - before);
  }
  await product.close();
  return median(times.slice(1)) / (rowTile * latentTile);
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
