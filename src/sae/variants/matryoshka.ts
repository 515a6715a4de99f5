/**
 * Matryoshka BatchTopK (Bussmann et al. 2025): the first m latents of every group alone are an SAE too. Read as BatchTopK is.
 *
 *     z = pre where pre > theta and pre > 0, else 0
 *     xhat_m = z_{<m} W_dec_{<m} + b_dec           m one of the prefixes; the last one is F
 */
import { z } from 'zod';
import { above, recordedThreshold } from './batchtopk.ts';
import { defineVariant } from './variant.ts';

export const matryoshka = defineVariant({
  title: 'Matryoshka',
  settings: z.strictObject({
    architecture: z.literal('matryoshka'),
    K: z.number().positive(),
    threshold: recordedThreshold,
    prefixes: z.array(z.int().positive()).min(1).readonly(),
  }),
  arrays: [],
  selection: ({ threshold, prefixes }, { b_enc }) => {
    const F = b_enc.length;
    if (prefixes.at(-1) !== F || prefixes.some((m, i) => i > 0 && m <= prefixes[i - 1]!))
      throw new RangeError(`The prefixes ${prefixes.join(', ')} must grow and end at F = ${F}.`);
    return above(threshold, F);
  },
});
