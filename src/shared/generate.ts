import { z } from 'zod';
import { modelDevice, trainFields } from './config.ts';
import { interventionSchema, strengthSchema } from './intervention.ts';

/** `saekit generate`: a model -> text, with a latent of an SAE turned up or not. */
export const generateConfigSchema = z.strictObject({
  $schema: z.string().optional().describe('Path or URL of this schema, for editors.'),
  model: z
    .string()
    .optional()
    .describe('Model folder, or org/name[@revision] of the hub. Default: the one the SAE was trained on.'),
  prompt: z
    .string()
    .optional()
    .describe('The beginning of the text; with `chat`, what the user says. Default: standard input.'),
  chat: z
    .boolean()
    .default(false)
    .describe("Answer the prompt in a conversation, written with the model's chat template."),
  system: z.string().optional().describe('With `chat`, the system message before it.'),
  sae: z.string().optional().describe('Run folder, SAE folder, or org/name of the hub, to steer with.'),
  latent: z
    .int()
    .nonnegative()
    .optional()
    .describe('Latent whose decoder row is added to the residual stream at every position.'),
  steer: z
    .array(z.union([z.string(), interventionSchema]))
    .min(1)
    .optional()
    .describe(
      'Changes while the model writes, as many as are wanted: SAE:LATENT=CHANGE, such as runs/first:1234=clamp:8, with ` at generated` and ` if 12>3` behind it (docs/steering.md); in a file also as objects.',
    ),
  positions: z
    .string()
    .default('all')
    .describe(
      'With `steer`, which tokens are changed where it does not say: all, prompt, generated, or ranges such as 0:5,-1:.',
    ),
  keepError: z
    .boolean()
    .default(true)
    .describe(
      'With `steer`, keep what the SAE does not explain. Without it the hook becomes what the SAE makes of it.',
    ),
  allowWrong: z
    .boolean()
    .default(false)
    .describe('Also with an SAE or direction that was made on another model, such as the base of this one.'),
  strength: strengthSchema
    .optional()
    .describe('With `latent`, how much of it, in units of its activation. Default: 8.'),
  maxTokens: z.int().nonnegative().default(48).describe('Tokens to write at most.'),
  temperature: z.number().nonnegative().default(0.7).describe('0 takes the likeliest token.'),
  topP: z
    .number()
    .gt(0)
    .max(1)
    .default(0.95)
    .describe('Sample among the likeliest tokens that make up this probability.'),
  topK: z
    .int()
    .positive()
    .optional()
    .describe('Sample among this many of the likeliest tokens. Default: all.'),
  minP: z
    .number()
    .min(0)
    .max(1)
    .optional()
    .describe(
      "Sample among tokens with at least this share of the likeliest one's probability. Default: all.",
    ),
  stop: z.array(z.string().min(1)).optional().describe('Texts that end the text; they are not part of it.'),
  seed: z.int().nonnegative().default(0).describe('The same seed gives the same text.'),
  device: modelDevice,
  lowMemory: trainFields.shape.lowMemory,
  threads: z
    .int()
    .positive()
    .optional()
    .describe("Threads of the engine. Default: by the machine's cores (docs/generation.md)."),
});
export type GenerateConfigInput = z.input<typeof generateConfigSchema>;
export type GenerateConfig = z.output<typeof generateConfigSchema>;
