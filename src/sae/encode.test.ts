import { describe, expect, it } from 'vitest';
import '../platform/node.ts';
import { createRng } from '../shared/rng.ts';
import { decode, dense } from './decode.ts';
import { createEncoder, encode } from './encode.ts';
import type { Sae } from './types.ts';

function randomSae(D: number, F: number, K: number, seed = 1): Sae<'topk'> {
  const rng = createRng(seed);
  const fill = (n: number, scale = 1) => Float32Array.from({ length: n }, () => scale * rng.normal());
  return {
    config: { architecture: 'topk', D, F, K, metadata: {} },
    W_enc: fill(F * D),
    b_enc: fill(F, 0.1),
    W_dec: fill(F * D),
    b_dec: fill(D, 0.5),
  };
}

/** z and xhat of one row, in float64, by sorting all latents. */
function slow({ config: { D, F, K }, W_enc, b_enc, W_dec, b_dec }: Sae<'topk'>, x: Float32Array) {
  const pre = Array.from({ length: F }, (_, latent) => {
    let sum = b_enc[latent]!;
    for (let d = 0; d < D; d++) sum += (x[d]! - b_dec[d]!) * W_enc[latent * D + d]!;
    return { latent, value: sum };
  });
  const kept = pre
    .sort((a, b) => b.value - a.value || a.latent - b.latent)
    .slice(0, K)
    .filter(({ value }) => value > 0);
  const xhat = Float64Array.from(b_dec);
  for (const { latent, value } of kept)
    for (let d = 0; d < D; d++) xhat[d]! += value * W_dec[latent * D + d]!;
  return { kept, xhat };
}

describe('TopK SAE', () => {
  // Sizes beyond one row tile and one latent tile, and odd ones.
  for (const [D, F, K, B] of [
    [12, 50, 4, 7],
    [6, 2500, 9, 530],
    [5, 8, 8, 3],
  ] as const)
    it(`encodes and decodes like the definition, D ${D} F ${F} K ${K} B ${B}`, async () => {
      const sae = randomSae(D, F, K);
      const rng = createRng(2);
      const x = Float32Array.from({ length: B * D }, () => rng.normal());
      const code = await encode(sae, x);
      const out = decode(sae, code);
      for (let b = 0; b < B; b++) {
        const { kept, xhat } = slow(sae, x.subarray(b * D, (b + 1) * D));
        const indices = [...code.indices.subarray(b * K, b * K + kept.length)];
        expect(indices).toEqual(kept.map(({ latent }) => latent));
        for (const [k, { value }] of kept.entries()) expect(code.values[b * K + k]).toBeCloseTo(value, 4);
        for (let k = kept.length; k < K; k++) expect(code.values[b * K + k]).toBe(0);
        for (let d = 0; d < D; d++) expect(out[b * D + d]).toBeCloseTo(xhat[d]!, 3);
      }
    });

  it('two encodings at once do not disturb each other', async () => {
    const sae = randomSae(6, 2500, 9);
    const rng = createRng(3);
    const inputs = [600, 20].map((B) => Float32Array.from({ length: 6 * B }, () => rng.normal()));
    const alone = [await encode(sae, inputs[0]!), await encode(sae, inputs[1]!)];
    expect(await Promise.all(inputs.map((x) => encode(sae, x)))).toEqual(alone);
  });

  it('dense holds the same numbers, and refuses an absurd size by naming it', async () => {
    const sae = randomSae(4, 10, 3);
    const code = await encode(sae, Float32Array.of(1, 2, 3, 4, -1, 0, 1, 0));
    const z = dense(code, 10);
    expect(z.length).toBe(20);
    for (let j = 0; j < code.values.length; j++)
      if (code.values[j]! > 0) expect(z[Math.floor(j / 3) * 10 + code.indices[j]!]).toBe(code.values[j]);
    expect(z.filter((v) => v > 0).length).toBe(code.values.filter((v) => v > 0).length);
    const many = { ...code, B: 4096 };
    expect(() => dense(many, 1_000_000)).toThrow(/4096 rows x 1000000 latents takes 15\.3 GiB/);
  });

  it('refuses arrays that do not fit', async () => {
    const sae = randomSae(4, 10, 3);
    await expect(createEncoder({ ...sae, b_enc: new Float32Array(9) })).rejects.toThrow(
      /b_enc has 9.*expected 10/,
    );
    await expect(createEncoder({ ...sae, config: { ...sae.config, K: 11 } })).rejects.toThrow(
      /K = 11.*F = 10/,
    );
    await expect(encode(sae, new Float32Array(6))).rejects.toThrow(/6 numbers.*width 4/);
    expect(() => decode(sae, { B: 1, K: 1, values: Float32Array.of(1), indices: Int32Array.of(10) })).toThrow(
      /10.*\[0, 10\)/,
    );
  });
});
