/**
 * Llama (Touvron et al. 2023; Llama 3.x; SmolLM, TinyLlama, the DeepSeek R1 distillations and others that share the architecture).
 *
 *     mid_l  = x_l + attn(rms(x_l))
 *     x_l+1  = mid_l + mlp(rms(mid_l))
 */
import type { ModelWeights } from '../hf-folder.ts';
import { parseGated } from './gated.ts';
import { type Config, refuse, type TransformerSpec } from './spec.ts';

export function parseLlama(config: Config, weights: ModelWeights): TransformerSpec {
  refuse(config, 'pretraining_tp', [1]);
  const bias = config.attention_bias === true;
  return {
    ...parseGated('llama', config, weights),
    qkvBias: bias,
    outputBias: bias,
    mlpBias: config.mlp_bias === true,
  };
}
