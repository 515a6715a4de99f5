/**
 * GroupMax (sparsify's `activation: groupmax`): of each of K groups of F / K latents that follow one another, the largest.
 *
 *     z_f = ReLU(pre_f) where pre_f is the largest of its group, floor(f K / F); ties to the lower latent
 *
 * Read here, not trained.
 */
import { z } from 'zod';
import { defineVariant } from './variant.ts';

export const groupmax = defineVariant({
  title: 'GroupMax',
  settings: z.strictObject({
    architecture: z.literal('groupmax'),
    /** Groups, and so the most that are active. */
    K: z.int().positive(),
  }),
  arrays: [],
  selection: ({ K }, { b_enc }) => {
    const F = b_enc.length;
    if (F % K !== 0) throw new RangeError(`${K} groups do not divide F = ${F}.`);
    return { by: 'group', K };
  },
});
