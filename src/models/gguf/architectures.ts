/**
 * What llama.cpp calls the parts of a model, and what Hugging Face calls them: config.json from metadata, tensor names, and what llama.cpp
 * did to the numbers:
 *
 *     llama     rows of q and k interleaved, (x_0, x_d/2, x_1, x_d/2+1, …) in every head, for its rotary positions
 *     gemma     1 added to the weights of every norm
 *     gpt2      Conv1D weights transposed to [out,in]
 *     gptneox   q, k, v of all heads one after the other instead of head by head
 */
import type { Gguf } from '../../formats/index.ts';
import { ropeFrequencies } from '../rope.ts';
import type { Metadata } from './metadata.ts';

export type Json = Record<string, unknown>;

/** What undoes llama.cpp's change of one tensor. */
export type Undo =
  /** Row r of the result is row `from(r)` of the file. */
  | { readonly kind: 'rows'; readonly from: (row: number, rows: number) => number }
  | { readonly kind: 'transpose' }
  | { readonly kind: 'add'; readonly value: number };

export type Architecture = {
  /** config.json; `prefix` is general.architecture. */
  config(metadata: Metadata, prefix: string, file: Gguf): Json;
  /** llama.cpp's name without `.weight` or `.bias` -> Hugging Face's; `blk.N.` becomes `layers`. */
  readonly names: Readonly<Record<string, string>>;
  readonly layers: string;
  /** Tensors of a model that sees images, beside those of the language model. */
  readonly images?: RegExp;
  undo?(name: string, config: Json): Undo | undefined;
};

const shapeOf = (file: Gguf, name: string): readonly number[] => {
  const tensor = file.tensors.get(name);
  if (!tensor) throw new Error(`the file has no tensor ${name}`);
  return tensor.shape;
};

/** The vocabulary is as large as the embedding; the metadata may not say. */
const vocabulary = (file: Gguf): number => shapeOf(file, 'token_embd.weight')[0]!;
const isTied = (file: Gguf): boolean => !file.tensors.has('output.weight');

const SCALING_KEYS = ['type', 'factor', 'original_context_length', 'finetuned'];

/** The scaling of rotary positions that the metadata names; what is not known of it is refused, it would change the numbers. */
function ropeConfig(metadata: Metadata, prefix: string): Json | undefined {
  const key = (name: string) => `${prefix}.rope.scaling.${name}`;
  const unknown = metadata
    .keys()
    .find((name) => name.startsWith(key('')) && !SCALING_KEYS.includes(name.slice(key('').length)));
  const type = metadata.text(key('type')) ?? 'none';
  const factor = metadata.real(key('factor')) ?? metadata.real(`${prefix}.rope.scale_linear`);
  if (unknown !== undefined && type !== 'none') throw new Error(`${unknown} is not supported`);
  if (factor === undefined || factor === 1) return undefined;
  // Files of 2023 have scale_linear and no type.
  if (type === 'linear' || !metadata.keys().includes(key('type'))) return { rope_type: 'linear', factor };
  if (type === 'yarn') {
    return {
      rope_type: 'yarn',
      factor,
      original_max_position_embeddings: metadata.count(key('original_context_length')),
    };
  }
  if (type === 'none') return undefined;
  throw new Error(`rotary scaling ${JSON.stringify(type)} is not supported; supported: none, linear, yarn`);
}

/** How many blocks there are, which a damaged file may state beyond reason: every block has tensors. */
function blocks(metadata: Metadata, prefix: string, file: Gguf): number {
  const count = metadata.count(`${prefix}.block_count`);
  if (count < 1 || count > file.tensors.size)
    throw new Error(`${prefix}.block_count is ${count}, and the file has ${file.tensors.size} tensors`);
  return count;
}

/** Settings of Llama 3's scaling that give the factors of `rope_freqs`, or an error that says they do not. */
export function llama3Scaling(factors: Float32Array, theta: number, contexts: readonly number[]): Json {
  const dims = 2 * factors.length;
  const plain = ropeFrequencies({ dims, theta, scaling: { type: 'default' } }, 1);
  const factor = Math.max(...factors);
  for (const originalContext of contexts) {
    const scaling = {
      type: 'llama3',
      factor,
      lowFrequencyFactor: 1,
      highFrequencyFactor: 4,
      originalContext,
    } as const;
    const scaled = ropeFrequencies({ dims, theta, scaling }, 1);
    if (factors.every((f, i) => Math.abs(plain[i]! / scaled[i]! / f - 1) < 1e-4))
      return {
        rope_type: 'llama3',
        factor,
        low_freq_factor: 1,
        high_freq_factor: 4,
        original_max_position_embeddings: originalContext,
      };
  }
  throw new Error(
    `the rotary factors in rope_freqs.weight (up to ${factor}) are not those of Llama 3's scaling; other factors are not supported`,
  );
}

/** config.json of the Llama line: Llama, Mistral, Qwen, Gemma. */
function gatedConfig(metadata: Metadata, prefix: string, file: Gguf, fields: Json): Json {
  const key = (name: string) => `${prefix}.${name}`;
  if (metadata.count(key('expert_count'), 0) > 0)
    throw new Error(
      `${prefix} with ${metadata.count(key('expert_count'))} experts is not supported, only dense models`,
    );
  const D = metadata.count(key('embedding_length'));
  const heads = metadata.count(key('attention.head_count'));
  const turned = metadata.count(key('rope.dimension_count'), undefined);
  const headDim = metadata.count(key('attention.key_length'), turned ?? Math.floor(D / heads));
  if ((turned ?? headDim) !== headDim)
    throw new Error(
      `rotary positions turn ${turned} of ${headDim} dimensions of a head; only all are supported`,
    );
  const values = metadata.count(key('attention.value_length'), headDim);
  if (values !== headDim)
    throw new Error(`heads have keys of ${headDim} and values of ${values}; only equal ones are supported`);
  const theta = metadata.real(key('rope.freq_base')) ?? 10_000;
  const scaling = ropeConfig(metadata, prefix);
  return {
    hidden_size: D,
    intermediate_size: metadata.count(key('feed_forward_length')),
    num_hidden_layers: blocks(metadata, prefix, file),
    num_attention_heads: heads,
    num_key_value_heads: metadata.count(key('attention.head_count_kv'), heads),
    head_dim: headDim,
    max_position_embeddings: metadata.count(key('context_length')),
    rms_norm_eps: metadata.real(key('attention.layer_norm_rms_epsilon')) ?? 1e-6,
    rope_theta: theta,
    ...(scaling ? { rope_scaling: scaling } : {}),
    vocab_size: vocabulary(file),
    tie_word_embeddings: isTied(file),
    ...fields,
  };
}

const GATED = {
  token_embd: 'model.embed_tokens',
  output_norm: 'model.norm',
  output: 'lm_head',
  attn_norm: 'input_layernorm',
  attn_q: 'self_attn.q_proj',
  attn_k: 'self_attn.k_proj',
  attn_v: 'self_attn.v_proj',
  attn_output: 'self_attn.o_proj',
  ffn_norm: 'post_attention_layernorm',
  ffn_gate: 'mlp.gate_proj',
  ffn_up: 'mlp.up_proj',
  ffn_down: 'mlp.down_proj',
};
const QK_NORM = { attn_q_norm: 'self_attn.q_norm', attn_k_norm: 'self_attn.k_norm' };
const GEMMA = {
  ...GATED,
  post_attention_norm: 'post_attention_layernorm',
  ffn_norm: 'pre_feedforward_layernorm',
  post_ffw_norm: 'post_feedforward_layernorm',
};

/** Row r of a head in halves <- the row of the same head in pairs: row j of half s is element s of pair j. */
const fromInterleaved = (config: Json): Undo => {
  const d = config.head_dim as number;
  return {
    kind: 'rows',
    from: (row) => {
      const within = row % d;
      return row - within + 2 * (within % (d / 2)) + Math.floor(within / (d / 2));
    },
  };
};

const lessOne = (name: string): Undo | undefined =>
  name.endsWith('norm.weight') ? { kind: 'add', value: -1 } : undefined;

/** Gemma's scale of scores: by the head, but by D / heads in the 27B models, which only their depth gives away. */
const queryScale = (config: Json, layersOf27B: number): number =>
  config.num_hidden_layers === layersOf27B
    ? (config.hidden_size as number) / (config.num_attention_heads as number)
    : (config.head_dim as number);

const gemmaConfig = (
  metadata: Metadata,
  prefix: string,
  file: Gguf,
  layersOf27B: number,
  isLocal: (layer: number) => boolean,
): Json => {
  const config = gatedConfig(metadata, prefix, file, {
    hidden_activation: 'gelu_pytorch_tanh',
    attention_bias: false,
  });
  return {
    ...config,
    query_pre_attn_scalar: queryScale(config, layersOf27B),
    sliding_window: metadata.count(`${prefix}.attention.sliding_window`),
    layer_types: Array.from({ length: config.num_hidden_layers as number }, (_, layer) =>
      isLocal(layer) ? 'sliding_attention' : 'full_attention',
    ),
  };
};

const llama: Architecture = {
  config: (metadata, prefix, file) =>
    gatedConfig(metadata, prefix, file, {
      model_type: 'llama',
      architectures: ['LlamaForCausalLM'],
      hidden_act: 'silu',
      attention_bias: file.tensors.has('blk.0.attn_q.bias'),
      mlp_bias: file.tensors.has('blk.0.ffn_up.bias'),
    }),
  names: GATED,
  layers: 'model.layers.',
  undo: (name, config) => (/attn_[qk]\.(weight|bias)$/.test(name) ? fromInterleaved(config) : undefined),
};

const qwen = (model_type: string, architecture: string, names: Record<string, string>): Architecture => ({
  config: (metadata, prefix, file) =>
    gatedConfig(metadata, prefix, file, {
      model_type,
      architectures: [architecture],
      hidden_act: 'silu',
      ...(model_type === 'qwen3' ? { attention_bias: file.tensors.has('blk.0.attn_q.bias') } : {}),
      use_sliding_window: false,
    }),
  names,
  layers: 'model.layers.',
});

const gemma2: Architecture = {
  config: (metadata, prefix, file) => ({
    ...gemmaConfig(metadata, prefix, file, 46, (layer) => layer % 2 === 0),
    model_type: 'gemma2',
    architectures: ['Gemma2ForCausalLM'],
    attn_logit_softcapping: metadata.real(`${prefix}.attn_logit_softcapping`) ?? 50,
    final_logit_softcapping: metadata.real(`${prefix}.final_logit_softcapping`) ?? 30,
  }),
  names: GEMMA,
  layers: 'model.layers.',
  undo: lessOne,
};

/** The models that were published with rotary positions stretched eightfold, by their depth: 4B, 12B, 27B. */
const GEMMA3_STRETCHED = [34, 48, 62];
const GEMMA3_1B = 26;

/** Which layers see a window only: one flag per layer, or every how many layers one sees everything. */
function gemma3Windows(metadata: Metadata, key: string, layers: number): (layer: number) => boolean {
  const flags = metadata.flags(key);
  if (flags && flags.length !== layers)
    throw new Error(`${key} has ${flags.length} entries for ${layers} layers`);
  const every = flags ? 0 : metadata.count(key, 6);
  return (layer) => flags?.[layer] ?? (layer + 1) % every !== 0;
}

/**
 * Ollama's own files differ from llama.cpp's: tensors for images beside the others, other names of the rotary bases, no word of the
 * stretched positions, and a cap of the 1B's logits that the model has not.
 */
const gemma3: Architecture = {
  config(metadata, prefix, file) {
    const key = (name: string) => `${prefix}.${name}`;
    const layers = blocks(metadata, prefix, file);
    const isLocal = gemma3Windows(metadata, key('attention.sliding_window_pattern'), layers);
    const config = gemmaConfig(metadata, prefix, file, 62, isLocal);
    const cap = layers === GEMMA3_1B ? undefined : metadata.real(key('final_logit_softcapping'));
    const saysScaling = metadata.keys().some((name) => name.startsWith(key('rope.scal')));
    const stretched = GEMMA3_STRETCHED.includes(layers) && !saysScaling;
    return {
      ...config,
      model_type: 'gemma3_text',
      architectures: ['Gemma3ForCausalLM'],
      rope_theta:
        metadata.real(key('rope.freq_base')) ?? metadata.real(key('rope.global.freq_base')) ?? 1_000_000,
      rope_local_base_freq:
        metadata.real(key('rope.freq_base_swa')) ?? metadata.real(key('rope.local.freq_base')) ?? 10_000,
      ...(stretched ? { rope_scaling: { rope_type: 'linear', factor: 8 } } : {}),
      ...(cap === undefined ? {} : { final_logit_softcapping: cap }),
    };
  },
  names: { ...GEMMA, ...QK_NORM },
  layers: 'model.layers.',
  images: /^(v|mm)\./,
  undo: lessOne,
};

const gpt2: Architecture = {
  config: (metadata, prefix, file) => ({
    model_type: 'gpt2',
    architectures: ['GPT2LMHeadModel'],
    n_embd: metadata.count(`${prefix}.embedding_length`),
    n_layer: blocks(metadata, prefix, file),
    n_head: metadata.count(`${prefix}.attention.head_count`),
    n_inner: metadata.count(`${prefix}.feed_forward_length`),
    n_positions: shapeOf(file, 'position_embd.weight')[0]!,
    layer_norm_epsilon: metadata.real(`${prefix}.attention.layer_norm_epsilon`) ?? 1e-5,
    activation_function: 'gelu_new',
    vocab_size: vocabulary(file),
    tie_word_embeddings: isTied(file),
  }),
  names: {
    token_embd: 'transformer.wte',
    position_embd: 'transformer.wpe',
    output_norm: 'transformer.ln_f',
    output: 'lm_head',
    attn_norm: 'ln_1',
    attn_qkv: 'attn.c_attn',
    attn_output: 'attn.c_proj',
    ffn_norm: 'ln_2',
    ffn_up: 'mlp.c_fc',
    ffn_down: 'mlp.c_proj',
  },
  layers: 'transformer.h.',
  undo: (name) =>
    /(attn_qkv|attn_output|ffn_up|ffn_down)\.weight$/.test(name) ? { kind: 'transpose' } : undefined,
};

const gptneox: Architecture = {
  config(metadata, prefix, file) {
    const D = metadata.count(`${prefix}.embedding_length`);
    const heads = metadata.count(`${prefix}.attention.head_count`);
    return {
      model_type: 'gpt_neox',
      architectures: ['GPTNeoXForCausalLM'],
      hidden_size: D,
      intermediate_size: metadata.count(`${prefix}.feed_forward_length`),
      num_hidden_layers: blocks(metadata, prefix, file),
      num_attention_heads: heads,
      max_position_embeddings: metadata.count(`${prefix}.context_length`),
      layer_norm_eps: metadata.real(`${prefix}.attention.layer_norm_epsilon`) ?? 1e-5,
      rotary_pct: metadata.count(`${prefix}.rope.dimension_count`, D / heads) / (D / heads),
      rotary_emb_base: metadata.real(`${prefix}.rope.freq_base`) ?? 10_000,
      use_parallel_residual: metadata.flag(`${prefix}.use_parallel_residual`) ?? true,
      hidden_act: 'gelu',
      vocab_size: vocabulary(file),
      tie_word_embeddings: isTied(file),
    };
  },
  names: {
    token_embd: 'gpt_neox.embed_in',
    output_norm: 'gpt_neox.final_layer_norm',
    output: 'embed_out',
    attn_norm: 'input_layernorm',
    attn_qkv: 'attention.query_key_value',
    attn_output: 'attention.dense',
    ffn_norm: 'post_attention_layernorm',
    ffn_up: 'mlp.dense_h_to_4h',
    ffn_down: 'mlp.dense_4h_to_h',
  },
  layers: 'gpt_neox.layers.',
  undo(name, config) {
    if (!name.includes('attn_qkv')) return undefined;
    const heads = config.num_attention_heads as number;
    const d = (config.hidden_size as number) / heads;
    return {
      kind: 'rows',
      // Head h, then q, k or v as c, then i of d  <-  c, then h, then i.
      from: (row) => (Math.floor(row / d) % 3) * heads * d + Math.floor(row / (3 * d)) * d + (row % d),
    };
  },
};

const ARCHITECTURES: Readonly<Record<string, Architecture>> = {
  gemma2,
  gemma3,
  gpt2,
  gptneox,
  llama,
  qwen2: qwen('qwen2', 'Qwen2ForCausalLM', GATED),
  qwen3: qwen('qwen3', 'Qwen3ForCausalLM', { ...GATED, ...QK_NORM }),
};

export const isSupported = (name: string): boolean => Object.hasOwn(ARCHITECTURES, name);

/** The architecture that general.architecture names. Throws for one that is not read and names those that are. */
export function architectureOf(metadata: Metadata): { name: string; architecture: Architecture } {
  const name = metadata.text('general.architecture') ?? '';
  if (isSupported(name)) return { name, architecture: ARCHITECTURES[name]! };
  throw new Error(
    `general.architecture ${JSON.stringify(name)} is not supported. Supported: ${Object.keys(ARCHITECTURES).join(', ')}.`,
  );
}
