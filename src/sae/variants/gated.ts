/**
 * Gated (Rajamanoharan et al. 2024, "Improving dictionary learning with gated sparse autoencoders").
 *
 *     c = (x' - b_dec) W_enc^T
 *     z = ReLU(exp(r_mag) c + b_mag) where c + b_enc > 0, else 0          b_enc is the bias of the gate
 */
import { z } from 'zod';
import { defineVariant } from './variant.ts';

export const gated = defineVariant({
  title: 'Gated',
  settings: z.strictObject({ architecture: z.literal('gated') }),
  arrays: ['r_mag', 'b_mag'],
  selection: (_, { b_enc, r_mag, b_mag }) => ({
    by: 'threshold',
    bias: false,
    threshold: b_enc.map((bias) => -bias),
    scale: r_mag!.map(Math.exp),
    shift: b_mag!,
  }),
});
