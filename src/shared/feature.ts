import { z } from 'zod';
import { schemaVersionOf } from './migrate.ts';

export const featureSchemaVersion = schemaVersionOf('cards');

/** One place in held-out text where a latent fired. */
export const featureExampleSchema = z.strictObject({
  left: z.array(z.string()).describe('Tokens before the peak, oldest first.'),
  peak: z
    .string()
    .describe('The token with the largest activation of its passage (a document within one packed row).'),
  right: z.array(z.string()).describe('Tokens after the peak.'),
  activations: z.array(z.number()).describe('Activation at every token: left, peak, right.'),
  value: z.number().describe('Activation at the peak.'),
  kind: z
    .enum(['top', 'spread'])
    .describe('top: the strongest passages; spread: one per decile of peak activation.'),
  document: z.int().describe('Index of the document in the held-out set.'),
  register: z.string().optional(),
});
export type FeatureExample = z.output<typeof featureExampleSchema>;

export const tokenEffectSchema = z.strictObject({
  token: z.string(),
  id: z.int(),
  effect: z.number().describe('Change of the logit per unit of the latent, final norm reduced to its gain.'),
});
export type TokenEffect = z.output<typeof tokenEffectSchema>;

/** How well one label describes a latent: label and threshold chosen on one half of the documents, scored on the other. */
export const labelScoreSchema = z.strictObject({
  label: z.string(),
  kind: z.string().describe('register or concept'),
  threshold: z.number().describe('The latent counts as on above this activation.'),
  f1: z.number().describe('F1 on the held-out half, over tokens.'),
  precision: z.number(),
  recall: z.number(),
  positives: z.int().describe('Tokens with the label in that half.'),
});
export type LabelScore = z.output<typeof labelScoreSchema>;

/** A latent with its evidence. */
export const featureCardSchema = z.strictObject({
  latent: z.int().nonnegative(),
  density: z.number().describe('Share of measured tokens it fires on.'),
  label: z.string().optional().describe('A label checked by a person.'),
  guess: z.string().describe('A label guessed by rule from the evidence below; never checked.'),
  best: labelScoreSchema.optional().describe('The single label that fits best, if any label was given.'),
  entropy: z
    .number()
    .describe(
      'Entropy in nats of the peak token over a sample of its passages; 0 for a single-token latent.',
    ),
  passages: z.int().describe('Passages it fired in.'),
  registers: z
    .array(
      z.strictObject({
        name: z.string(),
        rate: z.number().describe('Share of the tokens of this register that it fires on.'),
        share: z.number().describe('Share of its firings that lie in this register.'),
      }),
    )
    .describe('Falling by share.'),
  peakTokens: z
    .array(z.strictObject({ token: z.string(), share: z.number() }))
    .describe('Commonest peak tokens of the sample.'),
  examples: z.array(featureExampleSchema),
  raises: z.array(tokenEffectSchema).describe('Readable tokens whose logits it raises most.'),
  lowers: z.array(tokenEffectSchema).describe('Readable tokens whose logits it lowers most.'),
  score: z
    .strictObject({ f1: z.number(), entropy: z.number(), effect: z.number(), total: z.number() })
    .optional()
    .describe('Interestingness: ranks from 0 to 1 and their geometric mean; absent in a random sample.'),
});
export type FeatureCard = z.output<typeof featureCardSchema>;

/** A line of labels.jsonl in a run or SAE folder: what a person calls a latent, kept apart from what is measured anew. */
export const featureLabelSchema = z
  .strictObject({
    latent: z.int().nonnegative(),
    label: z.string().min(1).optional(),
    note: z.string().min(1).optional().describe('Anything else worth keeping.'),
    checked: z.string().describe('By whom, when and on what.'),
    origin: z
      .enum(['person', 'imported'])
      .default('person')
      .describe('Whether a person gave the label here, or it came with an export of another program.'),
  })
  .refine(({ label, note }) => label !== undefined || note !== undefined, 'expected a label or a note');
export type FeatureLabel = z.output<typeof featureLabelSchema>;

/** features/cards.json */
export const featureCardsSchema = z.strictObject({
  schemaVersion: z.literal(featureSchemaVersion),
  rows: z.int().describe('Measured tokens behind the densities.'),
  order: z.enum(['interesting', 'random']),
  notes: z.array(z.string()),
  cards: z.array(featureCardSchema),
});
export type FeatureCards = z.output<typeof featureCardsSchema>;
