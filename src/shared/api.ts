/** What the server takes and gives: one schema per thing, for HTTP, OpenAPI, MCP and the app. Field names of Neuronpedia where it has them. */
import { z } from 'zod';
import { evalResultSchema } from './eval.ts';
import { featureCardSchema, featureExampleSchema, featureLabelSchema, labelScoreSchema } from './feature.ts';
import { interventionSchema, strengthSchema } from './intervention.ts';
import { runSchema } from './run.ts';
import { selfTestSchema } from './self-test.ts';

/** Of text sent in for reading; longer ones are refused before they are tokenized. */
export const MAX_TEXT = 200_000;

export const runId = z.string().min(1).max(200).describe('Name of a run, as GET /api/runs gives it.');
export const latentIndex = z.int().nonnegative().describe('Latent, from 0.');
const text = z.string().max(MAX_TEXT).describe('Text; what is beyond the context of the model is cut.');
const ignoreBos = z
  .boolean()
  .default(true)
  .describe('Leave out the special tokens, on which no SAE was trained.');
const densityThreshold = z
  .number()
  .gt(0)
  .max(1)
  .optional()
  .describe('Leave out latents that fire on a larger share of tokens, where that is known.');

const indexedOnSchema = z
  .strictObject({
    tokens: z.int(),
    documents: z.int(),
    balance: z
      .array(z.string())
      .optional()
      .describe('Fields of the documents whose values had equal shares; absent: documents at random.'),
  })
  .describe('The text of the feature tables, which densities, rates and scores are of.');
export type IndexedOn = z.output<typeof indexedOnSchema>;

export const runSummarySchema = z.strictObject({
  run: runId,
  folder: z.string().describe('As it is given to other commands, from where the server was started.'),
  kind: z.enum(['run', 'sae']).describe('run: trained here; sae: a folder with an SAE alone.'),
  status: runSchema.shape.status.optional(),
  live: z.boolean().describe('Whether a process is writing it now.'),
  model: z.string().optional().describe('As it is named in requests.'),
  hook: z.string().optional(),
  architecture: z.string().optional(),
  D: z.int().optional(),
  latents: z.int().optional(),
  l0: z.number().optional().describe('K, or the mean L0 that was measured.'),
  fvu: z.number().optional(),
  dead: z.int().optional(),
  deltaCe: z.number().optional().describe('Nats per token.'),
  control: z
    .strictObject({ name: z.string(), fvu: z.number().optional(), deltaCe: z.number().optional() })
    .optional()
    .describe('The first control of its evaluation, on the same text.'),
  selfTest: selfTestSchema.optional().describe('Of its SAE, by what stands beside it.'),
  indexedOn: indexedOnSchema.optional(),
  started: z.string().optional(),
  finished: z.string().optional(),
  step: z.int().optional(),
  problem: z.string().optional().describe('Why it cannot be used.'),
});
export type RunSummary = z.output<typeof runSummarySchema>;

export const runDetailSchema = runSummarySchema.extend({
  config: z.record(z.string(), z.unknown()).optional().describe('As in run.json.'),
  provenance: runSchema.shape.provenance.optional(),
  evaluation: evalResultSchema.optional(),
  indexed: z.int().nonnegative().describe('Latents with evidence (saekit eval).'),
});

export type RunDetail = z.output<typeof runDetailSchema>;

/** What a person said of a latent. */
export const featureNoteSchema = z.strictObject({
  label: z.string().max(500).optional().describe('A name of a few words; empty takes it away.'),
  note: z.string().max(10_000).optional().describe('Anything else; empty takes it away.'),
  checked: z
    .string()
    .max(500)
    .optional()
    .describe('By whom, when and on what. Default: here, today; of a label that stays, what it was.'),
});

export const featureNoteInput = featureNoteSchema.extend({
  run: runId,
  latent: latentIndex,
  was: featureNoteSchema
    .pick({ label: true, note: true })
    .optional()
    .describe(
      'Label and note that the change was made on. Where one that is to change is another by now, nothing is saved: status 409.',
    ),
});

/** A latent by name, with what one shows beside a number. */
export const featureNameSchema = z.strictObject({
  run: runId,
  hook: z.string(),
  latent: latentIndex,
  label: z.string().optional().describe('Given by a person, or imported.'),
  origin: featureLabelSchema.shape.origin.unwrap().optional().describe('Of the label.'),
  guess: z.string().optional().describe('Made by rule, never checked.'),
  density: z.number().optional(),
  maximum: z
    .number()
    .optional()
    .describe('Largest activation in the text it was indexed on; absent where it never fired there.'),
});
export type FeatureName = z.output<typeof featureNameSchema>;

/** What is known of a latent: of its card, and with feature tables (saekit index) more, for every latent. */
const featureEvidenceSchema = featureCardSchema
  .omit({ label: true, examples: true })
  .partial()
  .required({ latent: true })
  .extend({
    maximum: featureNameSchema.shape.maximum,
    best: labelScoreSchema.partial({ positives: true }).optional(),
    examples: z
      .array(
        featureExampleSchema.extend({
          kind: z
            .enum(['top', 'spread', 'interval', 'random', 'near_miss'])
            .describe(
              'top: the strongest passages; spread: one per decile of peaks; interval: any token per tenth of (0, maximum]; random: any token it fires on; near_miss: one of its commonest tokens, where it does not fire.',
            ),
        }),
      )
      .optional(),
    indexedOn: indexedOnSchema.optional(),
    mean: z.number().optional().describe('Mean activation where it fires.'),
    std: z.number().optional(),
    histogram: z
      .array(z.int())
      .optional()
      .describe('Activations where it fires, in equal bins of (0, maximum].'),
    quantiles: z
      .array(z.strictObject({ at: z.number(), value: z.number() }))
      .optional()
      .describe('Of activations where it fires.'),
    together: z
      .array(z.strictObject({ latent: latentIndex, jaccard: z.number(), tokens: z.int() }))
      .optional()
      .describe('Latents that fire on the same tokens.'),
    groups: z
      .array(
        z.strictObject({
          ...{ column: z.string(), value: z.string(), tokens: z.int(), fired: z.int() },
          ...{ rate: z.number(), rateRest: z.number() },
          ...{ low: z.number().nullable(), high: z.number().nullable(), q: z.number().nullable() },
        }),
      )
      .optional()
      .describe(
        'Rates by label column of the documents, with the tested difference from the rest (docs/feature-tables.md).',
      ),
  });
export type FeatureEvidence = z.output<typeof featureEvidenceSchema>;

export const featureSchema = featureEvidenceSchema.extend({
  run: runId,
  model: z.string().optional(),
  hook: z.string(),
  label: featureNameSchema.shape.label,
  origin: featureNameSchema.shape.origin,
  note: z.string().optional(),
  checked: z.string().optional(),
  indexed: z
    .boolean()
    .describe('Whether there is evidence; without, only logit effects and neighbours are known.'),
  neighbours: z
    .array(featureNameSchema.extend({ cosine: z.number() }))
    .describe('Latents of the nearest decoder rows, nearest first.'),
  together: z
    .array(featureNameSchema.extend({ jaccard: z.number(), tokens: z.int() }))
    .optional()
    .describe('Latents that fire on the same tokens.'),
});

export type Feature = z.output<typeof featureSchema>;

/** Why a search found a latent. */
const matchSchema = z.strictObject({
  in: z
    .enum(['label', 'note', 'guess', 'concept', 'passage', 'peaks', 'raises', 'writes'])
    .describe(
      'Where the words stand: in its label, note, guess, the concept that fits it best, or a passage. peaks: the token is one it peaks at; raises: one it raises; writes: its decoder row is like that of the other.',
    ),
  text: z.string().optional().describe('Those words and what is around them, or the token.'),
  value: z.number().optional().describe('peaks, raises: which place the token has, from 1; writes: cosine.'),
});
export type Match = z.output<typeof matchSchema>;

export const featurePageSchema = z.strictObject({
  run: runId,
  total: z.int().nonnegative(),
  offset: z.int().nonnegative(),
  features: z.array(
    featureNameSchema.extend({
      passages: z
        .int()
        .optional()
        .describe('How many of its passages have the words, where label, note and guess alone do not.'),
      match: matchSchema.optional(),
    }),
  ),
});

export type FeaturePage = z.output<typeof featurePageSchema>;

export const featuresQuerySchema = z.strictObject({
  run: runId,
  query: z
    .string()
    .max(500)
    .default('')
    .describe(
      'Words of label, guess, note or passages; #1234; token:"x" (peaks at it); logit:"x" (raises it); like:#88 (decoder cosine).',
    ),
  passages: z
    .boolean()
    .default(true)
    .describe('Whether words are looked for in passages, too; their first search reads the whole text.'),
  offset: z.int().nonnegative().default(0),
  limit: z.int().min(1).max(200).default(50),
});

const tokens = z
  .array(z.string())
  .describe(
    'T of them, together the text; a character of several tokens stands at the first. A special token that is not in the text stands by its name.',
  );
const place = z.tuple([z.int(), z.int()]);
const places = z
  .array(place)
  .describe(
    '[T] where each token stands in the text: [start, end) in UTF-16 units. Tokens that share a character have the same place; empty for one that is not in the text, such as BOS.',
  );

const valueSchema = z.strictObject({ latent: latentIndex, value: z.number() });

export const activationAllInput = z.strictObject({ run: runId, text, ignoreBos, densityThreshold });
export const activationAllSchema = z.strictObject({
  run: runId,
  hook: z.string(),
  tokens,
  places,
  cut: z.int().describe('Tokens that did not fit.'),
  values: z.array(z.array(valueSchema)).describe('Of every token, the latents that fire, strongest first.'),
  features: z
    .array(
      featureNameSchema.extend({
        inText: z.number().describe('Largest activation in this text.'),
        position: z.int(),
        count: z.int(),
        surprise: z.number(),
      }),
    )
    .describe(
      'All latents that fire, by surprise: activation over its maximum, times -ln density; where that is unknown, by activation after those.',
    ),
});

export type TextActivations = z.output<typeof activationAllSchema>;

export const activationOneInput = z.strictObject({ run: runId, latent: latentIndex, text, ignoreBos });
export const activationOneSchema = z.strictObject({
  ...featureNameSchema.shape,
  tokens,
  places,
  values: z.array(z.number()).describe('[T]'),
  maxValue: z.number(),
  maxValueTokenIndex: z.int(),
  cut: z.int(),
});

export type FeatureOnText = z.output<typeof activationOneSchema>;

export const searchAllInput = z.strictObject({
  text,
  runs: z.array(runId).min(1).max(64).optional().describe('Default: all finished runs of the first model.'),
  sortIndexes: z
    .array(z.int().nonnegative())
    .max(1000)
    .optional()
    .describe('Positions of tokens to sort by; default: all.'),
  numResults: z.int().min(1).max(200).default(20),
  ignoreBos,
  densityThreshold,
});
export const searchAllSchema = z.strictObject({
  tokens,
  places,
  cut: z.int(),
  result: z.array(
    featureNameSchema.extend({
      values: z.array(z.number()).describe('[T]'),
      maxValue: z.number(),
      maxValueTokenIndex: z.int(),
    }),
  ),
});

export const topkByTokenInput = z.strictObject({
  run: runId,
  text,
  numResults: z.int().min(1).max(50).default(5),
  ignoreBos,
  densityThreshold,
});
export const topkByTokenSchema = z.strictObject({
  run: runId,
  hook: z.string(),
  cut: z.int(),
  results: z.array(
    z.strictObject({
      position: z.int(),
      token: z.string(),
      place,
      topFeatures: z.array(featureNameSchema.extend({ activationValue: z.number() })),
    }),
  ),
});

const value = strengthSchema.optional();
const runConditionSchema = z
  .strictObject({
    run: runId.optional().describe('Run of the latent that is looked at. Default: the one that is edited.'),
    ...{ latent: latentIndex, above: z.number().optional(), below: z.number().optional() },
  })
  .refine(({ above, below }) => (above === undefined) !== (below === undefined), {
    error: 'expected one of `above` and `below`',
  });
/** An intervention whose SAE is a run that is served, so that no request names a path. */
export const runInterventionSchema = interventionSchema
  .omit({ sae: true, vector: true, hook: true, when: true })
  .extend({
    run: runId,
    value: value.describe('Of the mode: how much is added, what it is set to, …'),
    text: z.string().max(MAX_TEXT).optional().describe(interventionSchema.shape.text.description!),
    when: runConditionSchema.optional().describe(interventionSchema.shape.when.description!),
  });
export type RunIntervention = z.output<typeof runInterventionSchema>;
export const runInterventions = z.array(runInterventionSchema).max(64);

export const steerInput = z.strictObject({
  prompt: z.string().max(MAX_TEXT).describe('The beginning of the text; with `chat`, what the user says.'),
  features: runInterventions.min(1),
  chat: z.boolean().default(false),
  maxTokens: z.int().positive().default(48),
  temperature: z.number().nonnegative().max(100).default(0.7),
  topP: z.number().gt(0).max(1).default(0.95),
  seed: z.int().nonnegative().default(0),
});
export const steerSchema = z.strictObject({
  model: z.string(),
  prompt: z.string(),
  DEFAULT: z.string().describe('Without.'),
  STEERED: z.string(),
  RANDOM: z
    .string()
    .optional()
    .describe(
      'The control: the same with random latents of the same SAEs. Absent where there is no latent to replace.',
    ),
});

export type SteerRequest = z.input<typeof steerInput>;
export type Steered = z.output<typeof steerSchema>;

export const listName = z
  .string()
  .regex(
    /^[\p{L}\p{N}][\p{L}\p{N} ._-]{0,99}$/u,
    'expected letters, digits, spaces, points, - and _, at most 100',
  )
  .describe('Name of a list.');
/** Latents of one list. */
export const MAX_LISTED = 1000;
export const listedSchema = z.strictObject({
  run: runId,
  latent: latentIndex,
  mode: interventionSchema.shape.mode.optional(),
  value: value.describe('With one, the list is a preset for steering.'),
  note: z.string().max(1000).optional(),
});
export const featureListInput = z.strictObject({
  name: listName,
  description: z.string().max(2000).default(''),
  features: z.array(listedSchema).max(MAX_LISTED),
});
export const featureListSchema = featureListInput.extend({ updated: z.iso.datetime() });
export type FeatureList = z.output<typeof featureListSchema>;
export const featureListsSchema = z.strictObject({ lists: z.array(featureListSchema) });

export const deletedSchema = z.strictObject({
  deleted: z.boolean(),
  list: featureListSchema.optional().describe('What was deleted.'),
});

/** Every error, of every route: OpenAI's shape. */
export const errorSchema = z.strictObject({
  error: z.strictObject({
    message: z.string(),
    type: z.string(),
    param: z.string().nullable().describe('The field that is wrong.'),
    code: z.string().nullable(),
  }),
});
