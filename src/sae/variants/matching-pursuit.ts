/**
 * Matching pursuit (Costa et al. 2025, "From flat to hierarchical: extracting sparse representations with matching pursuit"; SAELens's
 * matching_pursuit). The encoder is the decoder, and latents are taken one after the other, each out of what the last ones left:
 *
 *     r_0 = x' - b_dec;   i_t = argmax_f W_f . r_t,   v_t = ReLU(W_i . r_t),   z_i += v_t,   r_{t+1} = r_t - v_t W_i      pursuit.ts
 *     until |r| < theta (theta > 0), a step brings no new latent (unless `revisits`), or t = steps
 *
 * Read here, not trained.
 */
import { z } from 'zod';
import { defineVariant } from './variant.ts';

export const matchingPursuit = defineVariant({
  title: 'matching pursuit',
  settings: z.strictObject({
    architecture: z.literal('matching-pursuit'),
    /** theta; 0 or less: the error does not end it. */
    residualThreshold: z.number(),
    steps: z.int().positive(),
    /** Goes on where a step takes a latent that was taken before. */
    revisits: z.boolean().optional(),
  }),
  arrays: [],
  selection: ({ residualThreshold, steps, revisits = false }) => ({
    by: 'pursuit',
    ...{ residualThreshold, steps, revisits },
  }),
});
