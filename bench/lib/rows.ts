/** Stored rows of activations, block by block, and how well an SAE reconstructs them. */
import { createScatter, squaredError } from '../../src/eval/fvu.ts';
import { createEncoder, decode, type Sae } from '../../src/sae/index.ts';
import type { ActivationSource } from '../../src/store/index.ts';

const B = 4096;

/** Rows [from, end) of a source, up to 4096 at a time. */
export async function* blocksOf(
  source: ActivationSource,
  from = 0,
): AsyncGenerator<{ x: Float32Array; start: number; count: number }> {
  for (let start = from; start < source.rows; start += B) {
    const count = Math.min(B, source.rows - start);
    const x = new Float32Array(count * source.D);
    await source.read(start, count, x);
    yield { x, start, count };
  }
}

export function sumOf(values: Iterable<number>): number {
  return [...values].reduce((a, b) => a + b, 0);
}

/** FVU on the rows from `from` on, and the share of latents that fire on none of them. */
export async function measureOn(
  sae: Sae,
  source: ActivationSource,
  from = 0,
): Promise<{ fvu: number; dead: number }> {
  const encoder = await createEncoder(sae);
  const scatter = createScatter(source.D);
  const fired = new Uint8Array(sae.config.F);
  let error = 0;
  for await (const { x, count } of blocksOf(source, from)) {
    const code = await encoder.encode(x);
    const xhat = decode(sae, code);
    scatter.add(x, new Int32Array(count), count);
    for (let r = 0; r < count; r++) error += squaredError(x, xhat, r, source.D);
    for (const [j, z] of code.values.entries()) if (z > 0) fired[code.indices[j]!] = 1;
  }
  await encoder.close();
  return { fvu: error / sumOf(scatter.perUnit()), dead: 1 - sumOf(fired) / sae.config.F };
}
