/**
 * One change of a model while it runs, as people write it: in a file, on the command line, in a request.
 *
 *     z' = z + v            add            z' = max(z, v)   at-least      z' = 0 where z > t    suppress
 *     z' = v                clamp          z' = min(z, v)   at-most       z' = z of another text    patch
 *     z' = v z              scale          z' = 0           zero          z' = mean z of another text   mean
 *                                                                         x' = decode(encode(x))   splice
 *
 *     h' = h + sum_j (z_j' - z_j) d_j  (times the token's std where the SAE normalises its input)
 *
 * z_j is read from h as it arrives, before any edit of this hook; which latents a TopK SAE keeps is not asked again after an edit. With
 * keepError false, h is first replaced by what the SAE makes of it.
 */
import { z } from 'zod';

export const steeringModes = [
  'add',
  'clamp',
  'at-least',
  'at-most',
  'scale',
  'zero',
  'suppress',
  'patch',
  'mean',
  'splice',
] as const;

/** Beyond this numbers of 32 bits lose themselves in a model. */
export const MAX_STRENGTH = 1e6;
export const strengthSchema = z.number().min(-MAX_STRENGTH).max(MAX_STRENGTH);

/** Whether [from, to) has no token in a text of any length; edges of two signs may or may not. */
export const isEmptyRange = ([from, to]: readonly [number, number | null]): boolean =>
  to !== null && from < 0 === to < 0 && from >= to;

export const positionsSchema = z.union([
  z.enum(['all', 'prompt', 'generated']),
  z
    .array(
      z
        .tuple([z.int(), z.int().nullable()])
        .refine((range) => !isEmptyRange(range), { error: 'expected [from, to) with to behind from' }),
    )
    .min(1),
]);

export const conditionSchema = z
  .strictObject({
    sae: z
      .string()
      .optional()
      .describe('SAE of the latent that is looked at. Default: the one that is edited.'),
    latent: z.int().nonnegative(),
    above: z.number().optional(),
    below: z.number().optional(),
  })
  .refine(({ above, below }) => (above === undefined) !== (below === undefined), {
    error: 'give one of `above` and `below`',
  });

export const interventionSchema = z.strictObject({
  sae: z.string().optional().describe('Run folder, SAE folder, or org/name of the hub.'),
  latent: z
    .int()
    .nonnegative()
    .optional()
    .describe('Latent of the SAE; none with `splice`, and with `patch` or `mean` of a whole hook.'),
  vector: z
    .string()
    .optional()
    .describe(
      'File with a direction of your own instead of a latent; its activation is the product with the unit direction.',
    ),
  hook: z
    .string()
    .optional()
    .describe('Where. Default: the hook that the SAE reads; of a transcoder, the output of the MLP.'),
  mode: z
    .enum(steeringModes)
    .default('add')
    .describe(
      'What becomes of the activation z: add z + value, clamp value, at-least max(z, value), at-most min(z, value), scale z times value, zero 0, suppress `value` (default 0) where z is above `above`, patch z in `text`, mean its mean over the tokens of `text`; splice: the SAE in place of the activations.',
    ),
  value: strengthSchema.optional(),
  unit: z
    .enum(['activation', 'max'])
    .default('activation')
    .describe("Of `value`: the latent's activation, or its largest activation in the run's feature cards."),
  above: z.number().optional().describe('Of suppress. Default: 0.'),
  text: z
    .string()
    .optional()
    .describe(
      'Of patch and mean: the text of the other run. patch gives position t what stood at its position t.',
    ),
  positions: positionsSchema
    .default('all')
    .describe(
      'Tokens that are changed: all, those of the prompt, those that were written, or ranges [from, to) from the first token; negative ones count back from the end of the prompt, null is no end.',
    ),
  specials: z
    .boolean()
    .default(false)
    .describe('Change special tokens (BOS, …), too; SAEs are not trained on those.'),
  keepError: z
    .boolean()
    .default(true)
    .describe(
      'Keep what the SAE does not explain. false: the hook becomes what the SAE makes of it, with the edit.',
    ),
  when: conditionSchema
    .optional()
    .describe(
      'Only at tokens where another latent, of this or an earlier hook, is above or below a threshold.',
    ),
});

export type InterventionConfig = z.output<typeof interventionSchema>;
export type InterventionConfigInput = z.input<typeof interventionSchema>;
export type Positions = z.output<typeof positionsSchema>;
export type SteeringMode = (typeof steeringModes)[number];
