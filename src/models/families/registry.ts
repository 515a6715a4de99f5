/** One entry per architecture; the key is `model_type` of config.json. */
import type { Graph } from '../../graph/index.ts';
import type { ModelWeights } from '../hf-folder.ts';
import { buildBert, parseBert } from './bert.ts';
import { buildGated } from './gated.ts';
import { parseGemma2 } from './gemma2.ts';
import { parseGemma3 } from './gemma3.ts';
import { buildGptNeox, parseGptNeox } from './gpt-neox.ts';
import { buildGpt2, parseGpt2 } from './gpt2.ts';
import { parseLlama } from './llama.ts';
import { parseMistral } from './mistral.ts';
import { parseQwen2 } from './qwen2.ts';
import { parseQwen3 } from './qwen3.ts';
import type { Config, TransformerSpec } from './spec.ts';

export type Family = {
  parse(config: Config, weights: ModelWeights): TransformerSpec;
  build(spec: TransformerSpec, weights: ModelWeights): Graph;
};

const FAMILIES: Readonly<Record<string, Family>> = {
  bert: { parse: parseBert, build: buildBert },
  gpt2: { parse: parseGpt2, build: buildGpt2 },
  gpt_neox: { parse: parseGptNeox, build: buildGptNeox },
  llama: { parse: parseLlama, build: buildGated },
  mistral: { parse: parseMistral, build: buildGated },
  qwen2: { parse: parseQwen2, build: buildGated },
  qwen3: { parse: parseQwen3, build: buildGated },
  gemma2: { parse: parseGemma2, build: buildGated },
  gemma3: { parse: parseGemma3, build: buildGated },
  gemma3_text: { parse: parseGemma3, build: buildGated },
};

/** Why an architecture is not among them, where that says more than its name. */
function reason(config: Config, type: string): string {
  if (/moe|mixtral|^llama4|gpt_oss|^deepseek_v/.test(type) || config.num_experts || config.num_local_experts)
    return ': its MLPs are mixtures of experts, whose routing is not built';
  if (/mamba|rwkv|jamba|^lfm/.test(type)) return ': it is no transformer, or not only one';
  if (/^t5|^bart|^whisper|^mbart|^pegasus/.test(type)) return ': it is an encoder with a decoder';
  return '';
}

/** The family of a config.json. Throws for an architecture that is not supported and names those that are. */
export function findFamily(config: Config, folder: string): Family {
  const type = config.model_type;
  if (typeof type === 'string' && Object.hasOwn(FAMILIES, type)) return FAMILIES[type]!;
  const architectures = Array.isArray(config.architectures) ? ` (${config.architectures.join(', ')})` : '';
  throw new Error(
    `${folder}: architecture ${JSON.stringify(type)}${architectures} is not supported${reason(config, String(type))}. Supported model_type: ${Object.keys(FAMILIES).sort().join(', ')}.`,
  );
}
