/** One entry per architecture; the key is `model_type` of config.json. */
import type { Graph } from '../../graph/index.ts';
import type { ModelWeights } from '../hf-folder.ts';
import { buildGated } from './gated.ts';
import { buildGpt2, parseGpt2 } from './gpt2.ts';
import { parseLlama } from './llama.ts';
import type { Config, TransformerSpec } from './spec.ts';

export type Family = {
  parse(config: Config, weights: ModelWeights): TransformerSpec;
  build(spec: TransformerSpec, weights: ModelWeights): Graph;
};

const FAMILIES: Readonly<Record<string, Family>> = {
  gpt2: { parse: parseGpt2, build: buildGpt2 },
  llama: { parse: parseLlama, build: buildGated },
};

/** The family of a config.json. Throws for an architecture that is not supported and names those that are. */
export function findFamily(config: Config, folder: string): Family {
  const type = config.model_type;
  if (typeof type === 'string' && Object.hasOwn(FAMILIES, type)) return FAMILIES[type]!;
  const architectures = Array.isArray(config.architectures) ? ` (${config.architectures.join(', ')})` : '';
  throw new Error(
    `${folder}: architecture ${JSON.stringify(type)}${architectures} is not supported. Supported model_type: ${Object.keys(FAMILIES).sort().join(', ')}.`,
  );
}
