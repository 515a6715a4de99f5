/**
 * What Llama, Mistral, Qwen and Gemma share: rotary positions, grouped key and value heads, RMS norms and a gated MLP.
 *
 *     x0 = s E[ids]                                  s = 1, or the width's root in Gemma
 *     attn(n) = z Wo^T, z = attention(n Wq^T, n Wk^T, n Wv^T)
 *     mlp(n)  = (act(n Wg^T) * (n Wu^T)) Wd^T
 *     logits  = rms(x_L) H^T                         H = E when tied
 *     rms(x)  = x / sqrt(mean(x^2) + eps) * (o + w)  o = 0, or 1 in Gemma
 *
 * Weights are [out,in], as PyTorch keeps them. Each family's own file says what differs.
 */
import { createGraphBuilder, type Graph, type Value } from '../../graph/index.ts';
import type { ModelWeights } from '../hf-folder.ts';
import { parseRope } from '../rope.ts';
import type { ModelFamily } from '../types.ts';
import { activate, attentionBiases, declareInputs, INPUTS, unembed } from './blocks.ts';
import { decoderBlock } from './decoder.ts';
import {
  type Config,
  count,
  everyLayer,
  headName,
  isTied,
  layerCount,
  parseActivation,
  real,
  type TransformerSpec,
} from './spec.ts';
import { createWeightReader } from './weights.ts';

/** Where the decoder stands in the files: by itself, in a model with a head, or beside an image encoder. */
const PREFIXES = ['model.', '', 'language_model.model.', 'model.language_model.'];
const HEADS = ['lm_head.weight', 'language_model.lm_head.weight'];

/** The settings that all of them have, under the names that Hugging Face gives them. */
export function parseGated(
  family: ModelFamily,
  config: Config,
  weights: ModelWeights,
  { tied = false }: { tied?: boolean } = {},
): TransformerSpec {
  const D = count(config, 'hidden_size');
  const layers = layerCount(config, 'num_hidden_layers');
  const heads = count(config, 'num_attention_heads');
  const kvHeads = count(config, 'num_key_value_heads', heads);
  const headDim = count(config, 'head_dim', D / heads);
  if (heads % kvHeads !== 0)
    throw new Error(
      `config.json: num_attention_heads ${heads} is no multiple of num_key_value_heads ${kvHeads}`,
    );
  const maxPositions = count(config, 'max_position_embeddings', 2048);
  const rope = parseRope(config, maxPositions, headDim);
  return {
    family,
    D,
    layers,
    heads,
    kvHeads,
    headDim,
    V: count(config, 'vocab_size'),
    // Dynamic scaling is the one that reaches beyond max_position_embeddings.
    contextLength:
      rope.scaling.type === 'dynamic' ? Math.floor(maxPositions * rope.scaling.factor) : maxPositions,
    mlpWidth: count(config, 'intermediate_size'),
    normEpsilon: real(config, 'rms_norm_eps', 1e-6),
    activation: parseActivation(config.hidden_act ?? 'silu', 'hidden_act'),
    attention: everyLayer(layers, { scale: 1 / Math.sqrt(headDim), rope }),
    qkvBias: false,
    outputBias: false,
    mlpBias: false,
    tiedHead: isTied(config, tied, weights, headName(weights, HEADS)),
  };
}

export function buildGated(spec: TransformerSpec, weights: ModelWeights): Graph {
  const { D, V, layers, heads, kvHeads, headDim, mlpWidth, qkvBias, outputBias, mlpBias } = spec;
  const prefix = PREFIXES.find((start) => weights.tensors.has(`${start}embed_tokens.weight`)) ?? 'model.';
  const g = createGraphBuilder();
  declareInputs(g, spec);
  const w = createWeightReader(g, weights);
  const norm = (x: Value, name: string, width = D, hook?: Value) => {
    const gain = w.float(`${name}.weight`, [width]);
    const scale = spec.normOffset ? g.add(gain, g.scalar(spec.normOffset)) : gain;
    return g.rmsNormalization(x, scale, spec.normEpsilon, hook);
  };

  const rows = g.reshape(w.rows(`${prefix}embed_tokens.weight`, [V, D], INPUTS.ids), [-1, D]);
  let x = g.named('hook_embed', spec.embedScale ? g.mul(rows, g.scalar(spec.embedScale)) : rows);
  const biases = attentionBiases(g, spec);
  for (let layer = 0; layer < layers; layer++) {
    const from = `${prefix}layers.${layer}`;
    /** Queries or keys of n heads, each normalised by itself. */
    const perHead = (y: Value, name: string, n: number) =>
      spec.qkNorm ? norm(g.reshape(y, [-1, n, headDim]), `${from}.self_attn.${name}`, headDim) : y;
    const projection = (n: Value, name: string, count: number) =>
      w.linear(n, `${from}.self_attn.${name}`, [count * headDim, D], qkvBias);
    const post = (y: Value, name: string) => (spec.postNorms ? norm(y, `${from}.${name}`) : y);
    x = decoderBlock(g, spec, layer, x, biases[layer]!, {
      norm1: (y) => norm(y, `${from}.input_layernorm`),
      project: (n) => ({
        q: perHead(projection(n, 'q_proj', heads), 'q_norm', heads),
        k: perHead(projection(n, 'k_proj', kvHeads), 'k_norm', kvHeads),
        v: projection(n, 'v_proj', kvHeads),
      }),
      output: (z) =>
        post(
          w.linear(z, `${from}.self_attn.o_proj`, [D, heads * headDim], outputBias),
          'post_attention_layernorm',
        ),
      // The norm before the MLP is called by where it stands: right after attention, or after attention's own second norm.
      norm2: (y, hook) =>
        norm(
          y,
          `${from}.${spec.postNorms ? 'pre_feedforward_layernorm' : 'post_attention_layernorm'}`,
          D,
          hook,
        ),
      inner: (n) =>
        g.mul(
          activate(g, w.linear(n, `${from}.mlp.gate_proj`, [mlpWidth, D], mlpBias), spec.activation),
          w.linear(n, `${from}.mlp.up_proj`, [mlpWidth, D], mlpBias),
        ),
      down: (h) =>
        post(w.linear(h, `${from}.mlp.down_proj`, [D, mlpWidth], mlpBias), 'post_feedforward_layernorm'),
    });
  }
  const head = w.float(spec.tiedHead ? `${prefix}embed_tokens.weight` : headName(weights, HEADS), [V, D]);
  unembed(g, spec, norm(x, `${prefix}norm`), head);
  return g.graph;
}
