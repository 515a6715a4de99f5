/**
 * Gemma 3 (Gemma Team 2025), the language model: Gemma 2's block without score cap, with queries and keys normalised head by head.
 *
 *     q_h = rotate(rms(n Wq_h^T)), k_h likewise
 *
 * Five layers that see a window, then one that sees everything; each kind has rotary positions of its own, and a scaling that stretches
 * the context acts only in the second. Models that also see images keep the language model under text_config and a prefix; what is
 * missing there has the value of the 4B model.
 */
import type { ModelWeights } from '../hf-folder.ts';
import { parseRope } from '../rope.ts';
import { parseGemma } from './gemma2.ts';
import { type Config, count, optional, refuse, type TransformerSpec, windowed } from './spec.ts';

const DEFAULTS = {
  vocab_size: 262_208,
  hidden_size: 2304,
  intermediate_size: 9216,
  num_hidden_layers: 26,
  num_attention_heads: 8,
  num_key_value_heads: 4,
  head_dim: 256,
  max_position_embeddings: 131_072,
  sliding_window: 4096,
};

type Parameters = Readonly<Record<string, unknown>>;

/** Rotary settings of the two kinds of layer, in the old spelling or the new, as configs of their own. */
function ropeConfigs(config: Config): { global: Parameters; local: Parameters } {
  const { full_attention: global, sliding_attention: local } = (config.rope_parameters ?? {}) as Record<
    string,
    Parameters | undefined
  >;
  return {
    global: {
      rope_parameters: {
        rope_theta: config.rope_theta ?? 1e6,
        ...((config.rope_scaling ?? {}) as Parameters),
        ...global,
      },
    },
    local: { rope_parameters: { rope_theta: config.rope_local_base_freq ?? 1e4, ...local } },
  };
}

export function parseGemma3(whole: Config, weights: ModelWeights): TransformerSpec {
  const inner = whole.text_config as Config | undefined;
  const config = { ...DEFAULTS, ...(inner ?? whole) };
  refuse(config, 'attn_logit_softcapping', [null]);
  const ropes = ropeConfigs(config);
  const spec = parseGemma('gemma3', { ...config, rope_scaling: undefined, ...ropes.global }, weights);
  const pattern = count(config, 'sliding_window_pattern', 6);
  const local = parseRope(ropes.local, spec.contextLength, spec.headDim);
  const attention = windowed(config, spec.attention, (layer) => (layer + 1) % pattern !== 0);
  return {
    ...spec,
    qkNorm: true,
    attention: attention.map((one) => (one.window === undefined ? one : { ...one, rope: local })),
    ...optional('logitCap', config, 'final_logit_softcapping'),
  };
}
