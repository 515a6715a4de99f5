/**
 * Qwen3 (Yang et al. 2025), the dense models: Llama's block with queries and keys normalised head by head, and heads that may be wider
 * than D / H.
 *
 *     q_h = rotate(rms(n Wq_h^T)), k_h likewise
 */
import type { ModelWeights } from '../hf-folder.ts';
import { parseGated } from './gated.ts';
import { qwenWindows } from './qwen2.ts';
import type { Config, TransformerSpec } from './spec.ts';

export function parseQwen3(config: Config, weights: ModelWeights): TransformerSpec {
  const spec = parseGated('qwen3', { head_dim: 128, ...config }, weights);
  const bias = config.attention_bias === true;
  return { ...spec, qkNorm: true, qkvBias: bias, outputBias: bias, attention: qwenWindows(config, spec) };
}
