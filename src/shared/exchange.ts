/** Feature dashboards of other programs: rows of Neuronpedia's exports, and the files that OpenAI's viewer of sparse autoencoders reads. */
import { z } from 'zod';

const place = {
  modelId: z.string().min(1),
  layer: z.string().min(1).describe('Neuronpedia calls it source: 6-res-jb.'),
  /** Theirs is text. */
  index: z.union([z.int().nonnegative(), z.stringFormat('digits', /^\d+$/).transform(Number)], {
    error: 'expected the number of a latent',
  }),
};
const numbers = z
  .array(
    z
      .number()
      .nullable()
      .transform((value) => value ?? 0),
  )
  .nullish();
const strings = z.array(z.string()).nullish();

/** features/batch-N.jsonl: more fields than these may stand there. */
export const neuronpediaFeatureSchema = z.object({
  ...place,
  hookName: z.string().nullish(),
  maxActApprox: z.number().nullish(),
  frac_nonzero: z.number().nullish(),
  ...{ pos_str: strings, pos_values: numbers, neg_str: strings, neg_values: numbers },
});
/** activations/batch-N.jsonl */
export const neuronpediaActivationSchema = z.object({
  ...place,
  tokens: z.array(z.string()).min(1),
  values: z.array(z.number()),
  maxValue: z.number().nullish(),
  maxValueTokenIndex: z.int().nonnegative().nullish(),
});
/** explanations/batch-N.jsonl */
export const neuronpediaExplanationSchema = z.object({
  ...place,
  description: z.string(),
  typeName: z.string().nullish(),
  explanationModelName: z.string().nullish(),
});

export const featureExportFormats = ['neuronpedia', 'openai-viewer'] as const;
export type FeatureExportFormat = (typeof featureExportFormats)[number];

export const exportFeaturesConfigSchema = z.strictObject({
  run: z.string().describe('Run folder with feature tables (saekit index).'),
  out: z.string().describe('Folder to make.'),
  to: z.enum(featureExportFormats).default('neuronpedia').describe('What for.'),
  modelId: z
    .string()
    .optional()
    .describe('What the other program calls the model. Default: the last part of its name.'),
  source: z.string().optional().describe('What it calls the SAE. Default: the hook.'),
  latents: z.array(z.int().nonnegative()).optional().describe('Only these. Default: all that ever fired.'),
});
export type ExportFeaturesConfig = z.output<typeof exportFeaturesConfigSchema>;

export const importFeaturesConfigSchema = z.strictObject({
  run: z.string().describe('Run or SAE folder that the dashboards are of.'),
  files: z
    .array(z.string())
    .min(1)
    .describe(
      'Files of a Neuronpedia export (jsonl or jsonl.gz), or a folder with features/, activations/, explanations/.',
    ),
  modelId: z
    .string()
    .optional()
    .describe(
      "Only rows of this model; needed when there are several, or when the run's model has another name.",
    ),
  source: z.string().optional().describe('Only rows of this source; needed when there are several.'),
  partial: z
    .boolean()
    .default(false)
    .describe(
      'The files are a part of the export: rows of a few latents are enough. Otherwise most must have one, up to the last.',
    ),
  replace: z.boolean().default(false).describe('Put imported labels in the place of those that are there.'),
});
export type ImportFeaturesConfig = z.output<typeof importFeaturesConfigSchema>;
