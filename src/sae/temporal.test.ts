// What callers of a temporal SAE are told, and that its sequences know nothing of each other. Its numbers are those of SAELens: formats.test.ts.
import { beforeAll, describe, expect, it } from 'vitest';
import { golden, goldenNumbers } from '../../test/support/golden-saes.ts';
import '../platform/node.ts';
import { decode } from './decode.ts';
import { editLatent, latentColumn } from './edit.ts';
import { encode } from './encode.ts';
import { loadSae } from './load.ts';
import { selfTest } from './self-test.ts';
import type { Sae } from './types.ts';

let sae: Sae;
const { x, B } = goldenNumbers('saelens-temporal');
const rows = Float32Array.from(x);
beforeAll(async () => {
  sae = await loadSae(golden('saelens-temporal'));
});

describe('a temporal SAE', () => {
  it('encodes each sequence by itself, and every row from those before it alone', async () => {
    const { D } = sae.config;
    const both = await encode(sae, rows, { sequences: [4, B - 4] });
    const second = await encode(sae, rows.subarray(4 * D), { sequences: [B - 4] });
    expect(both.values.subarray(4 * both.K)).toEqual(second.values);
    expect(both.context!.subarray(4 * D)).toEqual(second.context);
    const longer = await encode(sae, rows, { sequences: [B] });
    for (const [i, value] of both.context!.subarray(0, 4 * D).entries())
      expect(longer.context![i]).toBeCloseTo(value, 5);
    expect(longer.context!.subarray(4 * D)).not.toEqual(second.context);
  });

  it('asks for the sequences, and for the context that came with the code', async () => {
    await expect(encode(sae, rows)).rejects.toThrow(
      /needs the lengths of the sequences that the 10 rows are\. /,
    );
    await expect(encode(sae, rows, { sequences: [4, 5] })).rejects.toThrow(/10 rows are, found 4, 5\./);
    await expect(encode(sae, rows, { sequences: [10.5, -0.5] })).rejects.toThrow(/found 10\.5, -0\.5/);
    await expect(encode(sae, rows, { sequences: [B], screen: 'int8' })).rejects.toThrow(/it is not screened/);
    const { context: _, ...code } = await encode(sae, rows, { sequences: [B] });
    expect(() => decode(sae, code)).toThrow(/which have `context`/);
  });

  it('can be edited: what the rows before tell stays', async () => {
    const code = await encode(sae, rows, { sequences: [B] });
    const [latent] = code.indices as unknown as [number];
    const without = decode(
      sae,
      editLatent(code, latent, () => 0),
    );
    const z = latentColumn(code, latent);
    const { D } = sae.config;
    decode(sae, code).forEach((value, i) => {
      const removed = z[Math.floor(i / D)]! * sae.W_dec[latent * D + (i % D)]!;
      expect(without[i]).toBeCloseTo(value - removed, 4);
    });
  });

  it('stays unverified: which rows are one sequence activations do not say', async () => {
    expect(await selfTest(sae, { x: rows })).toMatchObject({ state: 'unverified' });
  });
});
