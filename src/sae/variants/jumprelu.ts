/**
 * JumpReLU (Rajamanoharan et al. 2024, "Jumping ahead"). Gemma Scope's kind; SAELens saves BatchTopK as this one.
 *
 *     z = pre where pre > theta and pre > 0, else 0          theta [F], in the units of pre
 */
import { z } from 'zod';
import { defineVariant } from './variant.ts';

export const jumprelu = defineVariant({
  title: 'JumpReLU',
  settings: z.strictObject({ architecture: z.literal('jumprelu') }),
  arrays: ['threshold'],
  selection: (_, { threshold }) => ({
    by: 'threshold',
    threshold: threshold!.map((theta) => Math.max(theta, 0)),
  }),
});
