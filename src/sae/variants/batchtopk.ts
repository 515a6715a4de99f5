/**
 * BatchTopK (Bussmann et al. 2024). In training the B K largest of a batch are kept; one row alone is read by the threshold that training
 * recorded, the mean of the least value kept. Ranking K per row would be another SAE.
 *
 *     z = pre where pre > theta and pre > 0, else 0          theta one number, in the units of pre; K the mean number of active latents
 */
import { z } from 'zod';
import { defineVariant, type Selection } from './variant.ts';

/** An unset threshold is -1 in dictionary_learning: with it the SAE would be a ReLU without a word. */
export const recordedThreshold = z
  .number()
  .nonnegative('no threshold was recorded in training, so what is active cannot be told');

export const above = (theta: number, F: number): Selection => ({
  by: 'threshold',
  threshold: new Float32Array(F).fill(theta),
});

export const batchtopk = defineVariant({
  title: 'BatchTopK',
  settings: z.strictObject({
    architecture: z.literal('batchtopk'),
    K: z.number().positive(),
    threshold: recordedThreshold,
  }),
  arrays: [],
  selection: ({ threshold }, { b_enc }) => above(threshold, b_enc.length),
});
