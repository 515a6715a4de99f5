import { z } from 'zod';
import { activationDtypes } from './activations.ts';
import { modelDevice, trainFields } from './config.ts';

const {
  $schema,
  model,
  lowMemory,
  data,
  heldout,
  textField,
  keepNearDuplicates,
  stream,
  contextLength,
  excludeFirst,
} = trainFields.shape;

/** `saekit harvest`: model + hooks + data -> activations on disk, one pass of the model for any number of runs. */
export const harvestConfigSchema = z.strictObject({
  $schema,
  model: model.unwrap(),
  device: modelDevice,
  lowMemory,
  hooks: z
    .array(z.string())
    .min(1)
    .optional()
    .describe(
      'Where to read activations: TransformerLens names, or patterns such as blocks.*.hook_resid_post. Several get a folder each, from one pass of the model. Default: resid_post at two thirds of the depth.',
    ),
  data: data.unwrap(),
  heldout: heldout
    .unwrap()
    .describe(
      'Files whose rows go into the held-out part. Default: every 20th document of `data`, by hash of its text.',
    )
    .optional(),
  textField,
  roles: z
    .array(z.string())
    .min(1)
    .optional()
    .describe('Of conversations, only tokens of these roles, such as assistant. Default: all tokens.'),
  keepNearDuplicates: keepNearDuplicates.describe(
    'Keep training documents that are nearly the same as a held-out one.',
  ),
  stream,
  tokens: z
    .int()
    .positive()
    .default(2_000_000)
    .describe('Rows of training documents; fewer when the data ends, which is gone through once.'),
  heldoutTokens: z
    .int()
    .nonnegative()
    .default(100_000)
    .describe('Rows of held-out documents, in a folder `heldout` of their own; 0 for none.'),
  dtype: z
    .enum(activationDtypes)
    .default('bf16')
    .describe(
      'How numbers are stored: f32 exactly; bf16 and f16 in half the space, where f16 is finer but ends at 65,504; int8 in a quarter, by blocks of 64.',
    ),
  contextLength,
  excludeSpecial: z
    .boolean()
    .default(true)
    .describe('Leave special tokens (BOS, EOS, padding) out of the rows.'),
  excludeFirst,
  rowsPerShard: z
    .int()
    .positive()
    .optional()
    .describe('Rows of one file; a stop loses at most as many. Default: files of 32 to 64 MiB.'),
  seed: z.int().nonnegative().default(0).describe('Seeds the order of the documents.'),
});
export type HarvestConfigInput = z.input<typeof harvestConfigSchema>;
export type HarvestConfig = z.output<typeof harvestConfigSchema>;
