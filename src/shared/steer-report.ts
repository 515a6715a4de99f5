import { z } from 'zod';
import { evalConfigSchema, modelDevice, trainFields } from './config.ts';
import { intervalSchema } from './eval.ts';
import { generateConfigSchema } from './generate.ts';
import { schemaVersionOf } from './migrate.ts';
import { selfTestSchema } from './self-test.ts';

/** `saekit steer-report`: what steering a latent does, by dose, beside everything that could do the same. */
export const steerReportConfigSchema = z.strictObject({
  $schema: z.string().optional().describe('Path or URL of this schema, for editors.'),
  ...evalConfigSchema.pick({ sae: true, model: true, hook: true, data: true, heldout: true, textField: true })
    .shape,
  allowWrong: evalConfigSchema.shape.allowWrong.describe(
    'Steer with an SAE that the self-test says is not of this hook, model or scale.',
  ),
  device: modelDevice,
  lowMemory: trainFields.shape.lowMemory,
  threads: generateConfigSchema.shape.threads,
  latents: z
    .array(z.int().nonnegative())
    .min(1)
    .optional()
    .describe('Latents to steer with. Default: chosen for the concept, by activation and by output effect.'),
  choose: z
    .int()
    .positive()
    .default(1)
    .describe('Without latents, how many are chosen by activation, and how many by output effect.'),
  register: z
    .string()
    .optional()
    .describe(
      'The concept: held-out documents of this register, or `meta.language`, against the others. Its checker is used where there is one.',
    ),
  positive: z.array(z.string()).min(1).optional().describe('The concept: files of texts that have it.'),
  negative: z
    .array(z.string())
    .min(1)
    .optional()
    .describe('Files of texts without it. Default: held-out documents.'),
  checker: z.string().optional().describe('A deterministic checker of the demo corpus: dna, json, french, …'),
  target: z
    .array(z.string())
    .min(1)
    .optional()
    .describe('Tokens whose probability is measured. Default: the twenty that speak most for the concept.'),
  prompt: z.string().default('').describe('What the texts begin with; the default is nothing at all.'),
  conceptPrompt: z
    .string()
    .optional()
    .describe(
      'The rival without steering: a prompt that asks for the concept, before `prompt`. Default: the beginning of a text that has it.',
    ),
  mode: z
    .enum(['clamp', 'add'])
    .default('clamp')
    .describe('Whether a latent is set to the dose, or the dose added to it.'),
  strengths: z
    .array(z.number())
    .min(1)
    .default([1, 2, 4])
    .describe("Doses, in units of the latent's own largest activation."),
  samples: z.int().min(2).default(16).describe('Texts written for every dose of every candidate.'),
  maxTokens: z.int().positive().default(48).describe('Tokens of a text.'),
  temperature: generateConfigSchema.shape.temperature,
  topP: z
    .number()
    .gt(0)
    .max(1)
    .default(1)
    .describe(generateConfigSchema.shape.topP.description ?? ''),
  controls: z
    .int()
    .min(1)
    .default(39)
    .describe('Random latents of like density and norm; with m of them no p-value is below 1 / (m + 1).'),
  textTokens: z
    .int()
    .min(32)
    .default(512)
    .describe('Held-out tokens behind KL and the probability of the target.'),
  indexTokens: z
    .int()
    .min(1024)
    .default(65_536)
    .describe('Held-out tokens behind densities, largest activations and the choice of latents.'),
  seed: z.int().nonnegative().default(0).describe('Seeds controls, samples and the bootstrap.'),
  out: z
    .string()
    .optional()
    .describe('Folder for report.html and report.json. Default: `steering` in the folder of the SAE.'),
});
export type SteerReportConfigInput = z.input<typeof steerReportConfigSchema>;
export type SteerReportConfig = z.output<typeof steerReportConfigSchema>;

/** Who pushes. */
export const steerArmNames = [
  'none',
  'prompt',
  'latent',
  'sign flip',
  'matched latents',
  'noise',
  'difference of means',
] as const;
export type SteerArmName = (typeof steerArmNames)[number];

/** What is measured; those that a run has no means for are absent. */
export const steerMeasuresSchema = z.strictObject({
  target: intervalSchema.optional().describe('Probability of the target tokens on held-out text.'),
  kl: intervalSchema.optional().describe('KL(unsteered || steered) on held-out text, nats per token.'),
  checker: intervalSchema.optional().describe('Share of the texts that the checker takes.'),
  classifier: intervalSchema
    .optional()
    .describe('Share of the texts that a naive Bayes classifier of tokens takes for the concept.'),
  judge: intervalSchema.optional().describe("Mean of the caller's own score of the texts."),
  loss: intervalSchema
    .optional()
    .describe('Of the texts under the unsteered model, nats per token; perplexity is its exponential.'),
  repetition: intervalSchema.optional().describe('Share of 4-grams of a text that stood in it before.'),
});
export type SteerMeasures = z.output<typeof steerMeasuresSchema>;
export type SteerMeasureName = keyof SteerMeasures;

const steerPointSchema = z.strictObject({
  arm: z.enum(steerArmNames),
  strength: z.number().describe("In units of the latent's largest activation; 0 without steering."),
  who: z
    .array(z.string())
    .describe('Latents, or seeds of noise, behind the point: their values were averaged.'),
  measures: steerMeasuresSchema,
  samples: z.array(z.string()).describe('Some of the texts.'),
});
export type SteerPoint = z.output<typeof steerPointSchema>;

const steerTestSchema = z.strictObject({
  measure: z.enum(['target', 'checker', 'classifier', 'judge']),
  value: z.number().describe('Of the latent, mean over the doses.'),
  controls: z.array(z.number()).describe('The same of every matched latent.'),
  p: z
    .number()
    .describe('One-sided rank test of the latent among the matched ones: (1 + as large) / (controls + 1).'),
  adjusted: z.number().describe("Benjamini and Hochberg's correction over all tests of the report."),
});
export type SteerTest = z.output<typeof steerTestSchema>;

const steeredFeatureSchema = z.strictObject({
  latent: z.int().nonnegative(),
  concept: z.string().describe('What its texts are held to have.'),
  targets: z.array(z.string()).describe('Tokens whose probability is measured.'),
  unsteered: z.array(steerPointSchema).describe('Without steering: as it is, and after the prompt.'),
  chosenBy: z.array(z.enum(['given', 'activation', 'output effect'])),
  label: z.string().optional().describe("What people call it: labels.jsonl of the SAE's folder."),
  density: z.number().describe('Share of held-out tokens it fires on.'),
  largest: z.number().describe('Its largest activation there: a strength of 1.'),
  selectivity: z
    .number()
    .optional()
    .describe('Share of the tokens of the concept it fires on, minus that of other tokens.'),
  outputEffect: z
    .number()
    .optional()
    .describe(
      'How much likelier it makes the target tokens in openings of texts without the concept, clamped to its largest activation.',
    ),
  matched: z.array(z.int()).describe('The random latents it is compared with.'),
  points: z.array(steerPointSchema),
  tests: z.array(steerTestSchema),
});
export type SteeredFeature = z.output<typeof steeredFeatureSchema>;

/** report.json */
export const steerReportSchema = z.strictObject({
  schemaVersion: z.literal(schemaVersionOf('steering')),
  created: z.string(),
  model: z.strictObject({ name: z.string(), hash: z.string() }),
  sae: z.string(),
  hook: z.string(),
  selfTest: selfTestSchema.optional(),
  config: z.record(z.string(), z.unknown()),
  level: z.number(),
  features: z.array(steeredFeatureSchema),
  notes: z.array(z.string()),
});
export type SteerReport = z.output<typeof steerReportSchema>;
