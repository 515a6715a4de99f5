/**
 * What TransformerLens did to the model's weights before the SAE saw it: `model_from_pretrained_kwargs` in the metadata. Hooks here are of the
 * unprocessed model (models/hooks.ts), so the SAE takes the difference.
 *
 *     center_writing_weights             x - mean(x) over D wherever the residual stream is read or written; with LayerNorm, which takes the
 *                                        mean off anyway, and not with RMS norms, where TransformerLens leaves the weights alone
 *     fold_value_biases,                 hook_z is another
 *     refactor_factored_attn_matrices
 *
 * fold_ln and center_unembed change no hook.
 */
import type { InputNorm } from '../types.ts';

const STREAM = /^(?:hook_(?:pos_)?embed|blocks\.\d+\.hook_(?:resid_(?:pre|mid|post)|attn_out|mlp_out))$/;
const RMS = /gemma|llama|mi[sx]tral|qwen|smollm|deepseek|phi-3/i;

/** How rows of the unprocessed model become those that the SAE was trained on. @throws where they cannot */
export function rowsRead(
  metadata: Readonly<Record<string, unknown>>,
  {
    norm,
    transcoder,
    old,
  }: {
    readonly norm: InputNorm | undefined;
    readonly transcoder: boolean;
    /** cfg.json is of SAELens before 6, where a release's registry entry often says what it does not. */
    readonly old: boolean;
  },
  where: string,
): { inputNorm: InputNorm | undefined; notes: string[] } {
  const kwargs = (metadata.model_from_pretrained_kwargs ?? {}) as Record<string, unknown>;
  const hook = String(metadata.hook_name ?? '');
  const rms = RMS.test(String(metadata.model_name ?? ''));
  if (metadata.model_from_pretrained_kwargs === undefined && old && !rms && STREAM.test(hook))
    return {
      inputNorm: norm,
      notes: [
        'cfg.json does not say whether the weights of the model were centred (center_writing_weights). For published SAEs the registry does: name it as saelens:RELEASE/SAE_ID.',
      ],
    };
  const other = ['fold_value_biases', 'refactor_factored_attn_matrices'].filter(
    (key) => kwargs[key] === true,
  );
  if (other.length > 0 && hook.endsWith('hook_z'))
    throw new Error(
      `${where}: it was trained on ${hook} of a model loaded with ${other.join(' and ')}, which makes other values of it than the model's own: it is not read.`,
    );
  if (kwargs.center_writing_weights !== true) return { inputNorm: norm, notes: [] };
  if (rms)
    return {
      inputNorm: norm,
      notes: [
        'center_writing_weights is set, which TransformerLens passes over for models with RMS norms: rows are read as they are.',
      ],
    };
  const outside = hook !== '' && !STREAM.test(hook);
  if (outside && !transcoder) return { inputNorm: norm, notes: [] };
  const asked = `${where}: it was trained on a model with centred weights (center_writing_weights)`;
  if (transcoder)
    throw new Error(`${asked}, and as a transcoder gives back rows without their mean: it is not read.`);
  if (norm === 'norm')
    throw new Error(
      `${asked} and rows scaled to one length, of which the mean was taken before: it is not read.`,
    );
  return {
    // Rows that are normalised have no mean left.
    inputNorm: norm ?? 'centre',
    notes: [
      'Trained on a model with centred weights (center_writing_weights): it reads x less its mean over the width, which is put back on what it gives.',
    ],
  };
}
