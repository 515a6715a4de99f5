/**
 * Gemma 2 (Gemma Team 2024).
 *
 *     x0     = sqrt(D) E[ids]
 *     mid_l  = x_l + rms'(attn(rms(x_l)))             rms(x) = x / sqrt(mean(x^2) + eps) * (1 + w)
 *     x_l+1  = mid_l + rms'(mlp(rms(mid_l)))
 *     scores = 50 tanh(q.k / sqrt(query_pre_attn_scalar) / 50)
 *     logits = 30 tanh(rms(x_L) E^T / 30)
 *
 * Even layers see a window, odd layers everything.
 */
import type { ModelWeights } from '../hf-folder.ts';
import { parseGated } from './gated.ts';
import { type Config, optional, real, refuse, type TransformerSpec, windowed } from './spec.ts';

/** What Gemma 2 and 3 share. */
export function parseGemma(
  family: 'gemma2' | 'gemma3',
  config: Config,
  weights: ModelWeights,
): TransformerSpec {
  refuse(config, 'use_bidirectional_attention', [null, false]);
  // The activation has a field of its own here; hidden_act, where it stands too, is not read.
  const settings = { head_dim: 256, ...config, hidden_act: config.hidden_activation ?? 'gelu_pytorch_tanh' };
  const spec = parseGated(family, settings, weights, { tied: true });
  const bias = config.attention_bias === true;
  const scale = 1 / Math.sqrt(real(config, 'query_pre_attn_scalar', 256));
  return {
    ...spec,
    attention: spec.attention.map((one) => ({ ...one, scale })),
    qkvBias: bias,
    outputBias: bias,
    postNorms: true,
    normOffset: 1,
    embedScale: Math.sqrt(spec.D),
  };
}

export function parseGemma2(config: Config, weights: ModelWeights): TransformerSpec {
  const settings = { sliding_window: 4096, ...config };
  const spec = parseGemma('gemma2', settings, weights);
  return {
    ...spec,
    attention: windowed(settings, spec.attention, (layer) => layer % 2 === 0),
    ...optional('scoreCap', config, 'attn_logit_softcapping', 50),
    ...optional('logitCap', config, 'final_logit_softcapping', 30),
  };
}
