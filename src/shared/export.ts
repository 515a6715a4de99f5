import { z } from 'zod';

/** `saekit export`: a model -> a folder for other programs. */
export const exportConfigSchema = z.strictObject({
  model: z.string().describe('Model folder, GGUF file, or org/name[@revision] of the hub.'),
});
export type ExportConfig = z.output<typeof exportConfigSchema>;
