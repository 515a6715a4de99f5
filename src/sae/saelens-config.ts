/**
 * cfg.json of SAELens 6 (sae_lens/saes/topk_sae.py, TopKSAEConfig): what we write and what we accept.
 *
 *     sae_in = x - [apply_b_dec_to_input] b_dec
 *     pre    = (sae_in W_enc + b_enc) * (|W_dec rows| if rescale_acts_by_decoder_norm else 1)
 *     xhat   = (ReLU(TopK(pre)) / (|W_dec rows| if … else 1)) W_dec + b_dec
 *
 * Both switches fold into the weights exactly, so they are accepted; normalised or reshaped inputs are refused.
 */
import type { SaeConfig } from './types.ts';

/** SAELens decides by this how to read cfg.json: below 6 it expects other fields. */
const FORMAT_VERSION = '6.0.0';

/** What is read of cfg.json beyond the canonical config. */
export type SaelensConfig = SaeConfig<'topk'> & {
  readonly subtractDecoderBias: boolean;
  readonly rescaleByDecoderNorm: boolean;
  /** Written by SAELens's own code or ours, so that the layout is known even where shapes do not tell. */
  readonly trustedLayout: boolean;
};

/** The object that cfg.json holds for an SAE. Metadata names are SAELens's: model_name, hook_name, context_size, … */
export function toSaelensConfig({ D, F, K, metadata }: SaeConfig<'topk'>): Record<string, unknown> {
  return {
    architecture: 'topk',
    d_in: D,
    d_sae: F,
    k: K,
    dtype: 'float32',
    device: 'cpu',
    apply_b_dec_to_input: true,
    normalize_activations: 'none',
    reshape_activations: 'none',
    rescale_acts_by_decoder_norm: false,
    metadata: { ...metadata, sae_lens_version: FORMAT_VERSION, sae_lens_training_version: null },
  };
}

function count(cfg: Record<string, unknown>, key: string, where: string): number {
  const value = cfg[key];
  if (Number.isSafeInteger(value) && (value as number) > 0) return value as number;
  throw new Error(
    `${where}: ${key} is ${JSON.stringify(value) ?? 'missing'}, expected a whole number above 0`,
  );
}

/**
 * Checks a parsed cfg.json.
 *
 * @throws on another architecture (naming those that are read), missing or wrong sizes, and settings that change what the SAE is fed
 */
export function fromSaelensConfig(value: unknown, where: string): SaelensConfig {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error(`${where}: expected a JSON object`);
  const cfg = value as Record<string, unknown>;
  const metadata = (cfg.metadata ?? {}) as Record<string, unknown>;
  const version = metadata.sae_lens_version ?? cfg.sae_lens_version;
  const written = typeof version === 'string' ? Number.parseInt(version, 10) : 0;
  if (cfg.architecture !== 'topk') {
    const found = cfg.architecture ?? cfg.activation_fn_str ?? cfg.activation_fn;
    throw new Error(
      `${where}: architecture ${JSON.stringify(found) ?? 'missing'}; this version reads "topk" in the form of SAELens 6.${written > 0 && written < 6 ? ` The file is of SAELens ${version}: load and save it again with SAELens 6.` : ''}`,
    );
  }
  const [D, F, K] = [count(cfg, 'd_in', where), count(cfg, 'd_sae', where), count(cfg, 'k', where)];
  if (K > F) throw new Error(`${where}: k = ${K} active latents of d_sae = ${F}`);
  for (const key of ['normalize_activations', 'reshape_activations']) {
    const setting = cfg[key] ?? 'none';
    if (setting !== 'none') {
      throw new Error(
        `${where}: ${key} is ${JSON.stringify(setting)}; only "none" is read. Fold it into the weights with SAELens and save again.`,
      );
    }
  }
  const flag = (key: string, fallback: boolean): boolean => {
    const setting = cfg[key] ?? fallback;
    if (typeof setting === 'boolean') return setting;
    throw new Error(`${where}: ${key} is ${JSON.stringify(setting)}, expected true or false`);
  };
  const { sae_lens_version: _a, sae_lens_training_version: _b, ...rest } = metadata;
  return {
    architecture: 'topk',
    D,
    F,
    K,
    metadata: rest,
    subtractDecoderBias: flag('apply_b_dec_to_input', true),
    rescaleByDecoderNorm: flag('rescale_acts_by_decoder_norm', false),
    trustedLayout: written >= 6,
  };
}
