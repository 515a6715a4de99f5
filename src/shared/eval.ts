import { z } from 'zod';
import { schemaVersionOf } from './migrate.ts';
import { selfTestSchema } from './self-test.ts';

export const evalSchemaVersion = schemaVersionOf('eval');

/** A number with its interval. All three are null where the number is not defined (0/0). */
export const intervalSchema = z.strictObject({
  value: z.number().nullable().describe('The estimate on all held-out text evaluated.'),
  low: z.number().nullable().describe('Lower end of the interval at `level`.'),
  high: z.number().nullable().describe('Upper end of the interval at `level`.'),
  n: z.int().nonnegative().describe('How many units the interval stands on.'),
  unit: z
    .enum(['documents', 'sequences', 'blocks', 'latents', 'samples', 'seeds'])
    .describe(
      'What was resampled; blocks: of 256 stored rows; latents: Wilson interval over the latents; samples: texts written by the model.',
    ),
});
export type Interval = z.output<typeof intervalSchema>;

/** How often latents fire, by powers of ten. */
export const densitySchema = z.strictObject({
  edges: z
    .array(z.number())
    .describe(
      'Bin edges, log10 of the share of tokens a latent fires on; the last bin includes its upper edge.',
    ),
  counts: z
    .array(z.int().nonnegative())
    .describe('Latents per bin; the first bin also takes all rarer latents that fired.'),
  never: z.int().nonnegative().describe('Latents that fired on no token evaluated.'),
});
export type Density = z.output<typeof densitySchema>;

/** What only a candidate with a sparse code has. */
export const latentMetricsSchema = z.strictObject({
  latents: z.int().positive().describe('F, the number of latents.'),
  l0: intervalSchema.describe('Mean number of latents with z > 0 per token.'),
  dead: z.int().nonnegative().describe('Latents that fired on none of `deadTokens` tokens.'),
  deadShare: intervalSchema.describe('`dead` over `latents`.'),
  density: densitySchema,
  singleToken: intervalSchema.describe(
    'Share of latents, among those with enough firings, whose most frequent current token makes up at least `singleTokenShare` of their firings.',
  ),
});
export type LatentMetrics = z.output<typeof latentMetricsSchema>;

/** One candidate: an SAE or one of its controls. */
export const candidateResultSchema = z.strictObject({
  name: z.string(),
  kind: z.enum(['sae', 'control']),
  fvu: intervalSchema.describe('Fraction of variance unexplained: sum |x - xhat|^2 / sum |x - mean x|^2.'),
  cosine: intervalSchema.describe('Mean cosine of x and xhat.'),
  latents: latentMetricsSchema.optional(),
  ce: intervalSchema.describe('Cross-entropy in nats per token with the reconstruction spliced in.'),
  deltaCe: intervalSchema.describe('`ce` minus the clean cross-entropy, nats per token.'),
  recoveredZero: intervalSchema.describe(
    '(CE_zero - ce) / (CE_zero - CE_clean): 1 is lossless, 0 as bad as zeros.',
  ),
  recoveredMean: intervalSchema.describe(
    '(CE_mean - ce) / (CE_mean - CE_clean): 1 is lossless, 0 as bad as the mean activation.',
  ),
  kl: intervalSchema.describe('KL(clean || spliced) of the next-token distribution, nats per token.'),
});
export type CandidateResult = z.output<typeof candidateResultSchema>;

/** The first candidate against one other, on the same bootstrap draws. */
export const comparisonSchema = z.strictObject({
  name: z.string().describe('The other candidate.'),
  fvuDifference: intervalSchema.describe('FVU of the first candidate minus that of this one.'),
  deltaCeDifference: intervalSchema.describe('Delta CE of the first candidate minus that of this one, nats.'),
  deltaCeRatio: intervalSchema.describe('Delta CE of the first candidate over that of this one.'),
});

/** eval.json */
export const evalResultSchema = z.strictObject({
  schemaVersion: z.literal(evalSchemaVersion),
  model: z
    .strictObject({ name: z.string(), hash: z.string() })
    .describe('Of stored rows that do not say: their own name and fingerprint.'),
  hook: z.string(),
  outputHook: z.string().optional().describe('Of a transcoder: what it gives, compared and replaced there.'),
  seed: z.union([z.string(), z.number()]),
  level: z.number().describe('Two-sided level of every interval.'),
  resamples: z.int().positive().describe('Bootstrap draws.'),
  rows: z.int().nonnegative().describe('Tokens behind FVU, cosine, L0, density and dead latents.'),
  excludedRows: z.int().nonnegative().describe('Real tokens left out (special tokens, first positions).'),
  ceTokens: z.int().nonnegative().describe('Predictions behind the cross-entropies.'),
  klTokens: z.int().nonnegative().describe('Predictions behind KL.'),
  deadTokens: z.int().nonnegative().describe('Tokens that a dead latent failed to fire on.'),
  deadTokensEnough: z
    .boolean()
    .describe('Whether `deadTokens` is at least 500,000; when not, `dead` is only an upper bound.'),
  singleTokenShare: z.number(),
  singleTokenFirings: z.int().describe('Fewest firings a latent needs to be judged.'),
  cleanCe: intervalSchema,
  zeroCe: intervalSchema,
  meanCe: intervalSchema,
  candidates: z.array(candidateResultSchema),
  comparisons: z.array(comparisonSchema),
  selfTest: selfTestSchema.optional(),
  sae: z
    .string()
    .optional()
    .describe('Fingerprint of the files of the SAE that was measured; absent in older files.'),
  notes: z.array(z.string()).describe('The conventions behind the numbers, one sentence each.'),
});
export type EvalResult = z.output<typeof evalResultSchema>;
