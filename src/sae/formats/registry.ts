/** The formats, in the order in which a folder is asked for them: a new one is a file beside this one and a line here. */
import { attentionOut } from './attention-out.ts';
import { circuitTracer } from './circuit-tracer.ts';
import { dictionaryLearning } from './dictionary-learning.ts';
import type { Format, SaeFiles } from './format.ts';
import { gemmaScope } from './gemma-scope.ts';
import { goodfire } from './goodfire.ts';
import { llamaScope } from './llama-scope.ts';
import { llamascopium } from './llamascopium.ts';
import { onnx } from './onnx.ts';
import { openai } from './openai.ts';
import { qwenScope } from './qwen-scope.ts';
import { saelens } from './saelens.ts';
import { sparsify } from './sparsify.ts';
import { temporal } from './temporal.ts';

export const formats = {
  saelens,
  sparsify,
  openai,
  'qwen-scope': qwenScope,
  goodfire,
  'attention-out': attentionOut,
  'circuit-tracer': circuitTracer,
  'dictionary-learning': dictionaryLearning,
  'gemma-scope': gemmaScope,
  'llama-scope': llamaScope,
  llamascopium,
  temporal,
  onnx,
} satisfies Record<string, Format>;

export type FormatName = keyof typeof formats;

/** Those that are written too. */
export const writtenFormats = Object.entries(formats)
  .filter(([, format]) => 'write' in format)
  .map(([name]) => name as FormatName);

/** @throws when the folder looks like none of them, naming what was looked for */
export async function formatOf(files: SaeFiles): Promise<FormatName> {
  for (const [name, format] of Object.entries(formats) as [FormatName, Format][])
    if (await format.matches(files)) return name;
  throw new Error(
    `${files.folder.name}: no SAE of a known format. Looked for cfg.json with sae_weights.safetensors (SAELens) or sae.safetensors (sparsify), ae.pt (dictionary_learning), params.npz or params.safetensors (Gemma Scope), hyperparams.json with checkpoints/final.safetensors (Llama Scope), config.json with sae_weights.safetensors (Llamascopium), conf.yaml with latest_ckpt.safetensors (temporal SAEs), sae.json with weights.safetensors (ONNX), or a file that is named itself: .pt (OpenAI, Qwen Scope, Goodfire, dictionary_learning; attention SAEs with their NAME_cfg.json), layer_N.safetensors or W_enc_N.safetensors (circuit-tracer), params_layer_N.safetensors (Gemma Scope 2).`,
  );
}
