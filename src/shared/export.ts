import { z } from 'zod';
import { generateConfigSchema } from './generate.ts';

const { $schema, model, steer, positions, keepError, allowWrong } = generateConfigSchema.shape;

/** `saekit export`: a model, with changes inside or as it is -> a folder for other programs. */
export const exportConfigSchema = z.strictObject({
  ...{ $schema, model, steer, positions, keepError, allowWrong },
  dtype: z
    .enum(['stored', 'float32'])
    .default('float32')
    .describe(
      'Weights all as float32, which every runtime and GPU reads, or as the model stores them: half the size in half precision.',
    ),
});
export type ExportConfig = z.output<typeof exportConfigSchema>;
