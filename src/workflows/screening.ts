/** `eval --screen`: how the SAE encodes (its controls do not), and a note of what screening came to. */
import type { SaeFunctions } from '../eval/candidates.ts';
import { createEncoder, decode, encode, type Sae, type Screening } from '../sae/index.ts';
import type { EvalResult } from '../shared/eval.ts';

export type Encoding = SaeFunctions & {
  /** The evaluation with the note. */
  noted(evaluation: EvalResult): EvalResult;
  close(): Promise<void>;
};

export async function openEncoding(sae: Sae, screen: Screening | undefined): Promise<Encoding> {
  const encoder = screen ? await createEncoder(sae, { screen }) : undefined;
  return {
    encode: (one, x) => (encoder && one === sae ? encoder.encode(x) : encode(one, x)),
    decode,
    noted(evaluation) {
      if (!encoder) return evaluation;
      const { rows, whole, candidates } = encoder.screened!();
      const note = `Codes by ${screen} screening: of ${sae.config.F} latents ${(candidates / Math.max(1, rows)).toFixed(0)} a row were computed in float32; ${((100 * whole) / Math.max(1, rows)).toFixed(1)} % of the rows were encoded without screening.`;
      return { ...evaluation, notes: [...evaluation.notes, note] };
    },
    close: async () => encoder?.close(),
  };
}
