import { z } from 'zod';

/** `saekit export`: a model -> a folder for other programs. */
export const exportConfigSchema = z.strictObject({
  model: z.string().describe('Model folder, GGUF file, or org/name[@revision] of the hub.'),
  dtype: z
    .enum(['stored', 'float32'])
    .default('float32')
    .describe(
      'Weights all as float32, which every runtime and GPU reads, or as the model stores them: half the size in half precision.',
    ),
});
export type ExportConfig = z.output<typeof exportConfigSchema>;
