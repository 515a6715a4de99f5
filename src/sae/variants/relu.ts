/**
 * ReLU, "standard" in SAELens (Bricken et al. 2023; the April 2024 update feeds the encoder x itself: subtractDecoderBias false).
 *
 *     z = ReLU(pre)
 */
import { z } from 'zod';
import { defineVariant } from './variant.ts';

export const relu = defineVariant({
  title: 'ReLU',
  settings: z.strictObject({ architecture: z.literal('relu') }),
  arrays: [],
  selection: (_, { b_enc }) => ({ by: 'threshold', threshold: new Float32Array(b_enc.length) }),
});
