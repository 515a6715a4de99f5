import { z } from 'zod';

/** What the self-test of an SAE found; part of every file and answer that stands on one. */
export const selfTestSchema = z
  .strictObject({
    state: z
      .enum(['verified', 'measured', 'unverified', 'wrong'])
      .describe(
        'verified: L0 or FVU agree with recorded ones; measured: plausible on activations, nothing recorded; unverified: no activations were at hand; wrong: see `reasons`.',
      ),
    reasons: z.array(z.string()),
    l0: z.number().optional().describe('On the activations, where there were some.'),
    fvu: z.number().optional(),
    by: z
      .enum(['training', 'eval', 'index'])
      .optional()
      .describe('Who had the activations, where it was not this command: what it left beside the SAE.'),
  })
  .describe('Whether the SAE is what it says it is (docs/saes.md).');
export type FoundBySelfTest = z.output<typeof selfTestSchema>;
