/**
 * Qwen2 and Qwen2.5 (Yang et al. 2024): Llama's block with biases on queries, keys and values, and in some models a window in the upper
 * layers.
 *
 *     q = n Wq^T + bq, k and v likewise
 */
import type { ModelWeights } from '../hf-folder.ts';
import { parseGated } from './gated.ts';
import { type Config, count, type TransformerSpec, windowed } from './spec.ts';

/** Windows of Qwen's layers: none unless use_sliding_window, then those from max_window_layers on. */
export function qwenWindows(config: Config, { attention }: TransformerSpec): TransformerSpec['attention'] {
  if (config.use_sliding_window !== true) return attention;
  const first = config.max_window_layers === 0 ? 0 : count(config, 'max_window_layers', 28);
  return windowed(config, attention, (layer) => layer >= first);
}

export function parseQwen2(config: Config, weights: ModelWeights): TransformerSpec {
  const spec = parseGated('qwen2', config, weights);
  return { ...spec, qkvBias: true, attention: qwenWindows(config, spec) };
}
