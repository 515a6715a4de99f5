/**
 * TopK (Gao et al. 2024, "Scaling and evaluating sparse autoencoders", sec. 2.3).
 *
 *     z = ReLU(TopK(pre))                       K kept per row; ties to the lower latent
 *     z = sign(pre) TopK(|pre|)                 signed: the K largest magnitudes
 */
import { z } from 'zod';
import { defineVariant } from './variant.ts';

export const topk = defineVariant({
  title: 'TopK',
  settings: z.strictObject({
    architecture: z.literal('topk'),
    K: z.int().positive(),
    signed: z.boolean().optional(),
  }),
  arrays: [],
  selection: ({ K, signed = false }, { b_enc }) => {
    if (K > b_enc.length)
      throw new RangeError(`K = ${K} active latents are asked for, but there are only F = ${b_enc.length}.`);
    return { by: 'rank', K, signed };
  },
});
