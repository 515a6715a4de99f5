/**
 * Mistral (Jiang et al. 2023): Llama's block; every layer sees a window of the last tokens, where config.json has one.
 */
import type { ModelWeights } from '../hf-folder.ts';
import { parseGated } from './gated.ts';
import { type Config, type TransformerSpec, windowed } from './spec.ts';

export function parseMistral(config: Config, weights: ModelWeights): TransformerSpec {
  const spec = parseGated('mistral', config, weights);
  const { sliding_window = 4096 } = config;
  return { ...spec, attention: windowed({ sliding_window }, spec.attention, () => sliding_window !== null) };
}
