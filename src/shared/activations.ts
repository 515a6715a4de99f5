import { z } from 'zod';
import { schemaVersionOf } from './migrate.ts';
import { provenanceSchema } from './run.ts';

export const activationsSchemaVersion = schemaVersionOf('activations');
/** Tells our manifest from other files of that name. */
export const activationsFormat = 'saekit activations';

export const activationDtypes = ['f32', 'f16', 'bf16', 'int8'] as const;
export type ActivationDtype = (typeof activationDtypes)[number];

const count = z.int().nonnegative();

/** What the rows depend on: a harvest is continued only by one that agrees in all of it. */
export const harvestOriginSchema = z.strictObject({
  model: z.strictObject({
    name: z.string(),
    hash: z.string().describe('As in run.json.'),
    quantization: z.string().optional().describe('As in run.json.'),
  }),
  tokenizerHash: z.string().optional().describe('sha256 of tokenizer.json.'),
  hook: z.string(),
  part: z.enum(['train', 'heldout']).describe('Which documents the rows are of.'),
  data: provenanceSchema.shape.data,
  documents: z.string().describe('Fingerprint of the documents of this part, text field and roles included.'),
  split: z.string().describe('Which documents were left out as held-out ones, in words.'),
  roles: z.array(z.string()).optional().describe('Of conversations, only tokens of these roles.'),
  contextLength: z.int().positive(),
  excludeSpecial: z.boolean(),
  excludeFirst: count,
  seed: z.string().describe('Of the order of documents.'),
  batchSequences: z.int().positive().describe('Sequences per model run.'),
  tokens: z.int().positive().describe('Rows asked for.'),
  dtype: z.enum(activationDtypes),
  D: z.int().positive(),
  rowsPerShard: z.int().positive(),
});
export type HarvestOrigin = z.output<typeof harvestOriginSchema>;

/** Place in the data: a cursor of packed rows, and how many of the rows that are kept after it are stored already. */
const placeSchema = z.strictObject({
  cursor: z.looseObject({ epoch: count, position: count, offset: count, fingerprint: z.string() }),
  skip: count,
});

export const activationStatisticsSchema = z.strictObject({
  count: count.describe('Rows behind these numbers: all of them.'),
  mean: z.array(z.number()).describe('[D]'),
  variance: z.array(z.number()).describe('[D], of each dimension.'),
  meanNorm: z.number().describe('Mean of |x|.'),
  geometricNorm: z.number().describe('exp of the mean of ln |x|, over rows that are not zero.'),
  largest: z.number().describe('Largest |x_j| of all.'),
});
export type ActivationStatistics = z.output<typeof activationStatisticsSchema>;

/** Running sums behind the statistics; float64 numbers survive JSON unchanged. */
const sumsSchema = z.strictObject({
  sum: z.array(z.number()),
  squares: z.array(z.number()),
  norm: z.number(),
  logNorm: z.number(),
  nonZero: count,
  largest: z.number(),
});
export type ActivationSums = z.output<typeof sumsSchema>;

/** manifest.json of a folder of activations. */
export const activationsManifestSchema = z
  .strictObject({
    format: z.literal(activationsFormat),
    schemaVersion: z.literal(activationsSchemaVersion),
    finished: z.boolean().describe('False while it is written and after a stop; the same command goes on.'),
    origin: harvestOriginSchema,
    rows: count,
    shards: z.array(
      z.strictObject({
        file: z.string().regex(/^shard-\d+\.safetensors$/),
        rows: z.int().positive(),
        bytes: z.int().positive(),
        sha256: z.string(),
      }),
    ),
    statistics: activationStatisticsSchema.optional(),
    resume: z
      .strictObject({ ...placeSchema.shape, sums: sumsSchema })
      .optional()
      .describe('While it is not finished: where to go on.'),
    saekit: z.string().describe('Version that wrote it.'),
  })
  .refine(({ rows, shards }) => rows === shards.reduce((sum, shard) => sum + shard.rows, 0), {
    path: ['rows'],
    message: 'not the sum of the rows of its shards',
  });
export type ActivationsManifest = z.output<typeof activationsManifestSchema>;
