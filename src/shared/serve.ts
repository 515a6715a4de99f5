import { z } from 'zod';
import { modelDevice, trainFields } from './config.ts';

/** `saekit serve` and `saekit mcp`: folders of runs -> a server. */
export const serveConfigSchema = z.strictObject({
  $schema: z.string().optional().describe('Path or URL of this schema, for editors.'),
  model: z
    .string()
    .optional()
    .describe(
      'Model folder, or org/name[@revision] of the hub. Default: of each run the one it was trained on.',
    ),
  port: z.int().min(0).max(65_535).default(4317).describe('Port; 0 takes a free one.'),
  host: z
    .string()
    .default('127.0.0.1')
    .describe('Address to listen on. Any but this machine itself asks for a token (docs/server.md).'),
  lists: z
    .string()
    .optional()
    .describe(
      'File that keeps the named lists. Default: lists.json in the first folder given, else in runs/.',
    ),
  maxBodyBytes: z
    .int()
    .positive()
    .default(2 ** 20)
    .describe('Larger requests are refused (413).'),
  maxPromptTokens: z
    .int()
    .positive()
    .optional()
    .describe("Longer prompts are refused (400). Default: the model's context."),
  maxNewTokens: z.int().positive().default(1024).describe('What one request may ask to write at most.'),
  running: z.int().positive().default(2).describe('Texts that are written at once.'),
  queue: z
    .int()
    .nonnegative()
    .default(16)
    .describe('Requests that wait; further ones are sent away with Retry-After (503).'),
  device: modelDevice,
  lowMemory: trainFields.shape.lowMemory,
  threads: z.int().positive().optional().describe("Threads of the engine. Default: by the machine's cores."),
  screen: z
    .enum(['int8'])
    .optional()
    .describe(
      'Encode with less work: an int8 product says which latents can matter, those are computed in float32. The same codes; SAEs with signed codes are encoded without.',
    ),
});
export type ServeConfigInput = z.input<typeof serveConfigSchema>;
export type ServeConfig = z.output<typeof serveConfigSchema>;
