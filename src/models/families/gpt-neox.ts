/**
 * GPT-NeoX (Black et al. 2022); Pythia.
 *
 *     x0     = E[ids]
 *     x_l+1  = x_l + attn(ln1(x_l)) + mlp(ln2(x_l))      or, without use_parallel_residual, one after the other
 *     attn(n) = z Wo^T + bo,  mlp(n) = gelu(n W1^T + b1) W2^T + b2
 *     logits = ln(x_L) H^T
 *
 * Weights are [out,in]. query_key_value holds query, key and value of head 0, then those of head 1, …; rotary positions turn the first
 * quarter of every head (rotary_pct).
 */
import { createGraphBuilder, type Graph, type Value } from '../../graph/index.ts';
import type { ModelWeights } from '../hf-folder.ts';
import { parseRope } from '../rope.ts';
import { activate, attentionBiases, declareInputs, INPUTS, unembed } from './blocks.ts';
import { decoderBlock } from './decoder.ts';
import {
  type Config,
  count,
  evenHeads,
  everyLayer,
  headName,
  isTied,
  layerCount,
  parseActivation,
  real,
  type TransformerSpec,
} from './spec.ts';
import { createWeightReader } from './weights.ts';

/** The head's name, old and new. */
const HEADS = ['embed_out.weight', 'lm_head.weight'];

/** Rotary settings as the other families spell them, and how many dimensions of a head turn. */
function ropeOf(config: Config, maxPositions: number, headDim: number) {
  const given = (config.rope_parameters ?? config.rope_scaling ?? {}) as Config;
  const { partial_rotary_factor: newer, ...parameters } = given;
  const part = real({ part: newer ?? config.rotary_pct ?? config.partial_rotary_factor }, 'part', 0.25);
  const theta = parameters.rope_theta ?? config.rotary_emb_base ?? config.rope_theta ?? 10_000;
  const renamed = { rope_parameters: { ...parameters, rope_theta: theta } };
  return parseRope(renamed, maxPositions, Math.floor(headDim * part));
}

export function parseGptNeox(config: Config, weights: ModelWeights): TransformerSpec {
  const { D, heads, headDim } = evenHeads(config, ['hidden_size', 'num_attention_heads']);
  const layers = layerCount(config, 'num_hidden_layers');
  const contextLength = count(config, 'max_position_embeddings', 2048);
  const rope = ropeOf(config, contextLength, headDim);
  const bias = config.attention_bias !== false;
  return {
    family: 'gpt_neox',
    D,
    layers,
    heads,
    kvHeads: heads,
    headDim,
    V: count(config, 'vocab_size'),
    contextLength,
    mlpWidth: count(config, 'intermediate_size'),
    normEpsilon: real(config, 'layer_norm_eps', 1e-5),
    activation: parseActivation(config.hidden_act ?? 'gelu', 'hidden_act'),
    attention: everyLayer(layers, { scale: 1 / Math.sqrt(headDim), rope }),
    qkvBias: bias,
    outputBias: bias,
    mlpBias: true,
    tiedHead: isTied(config, false, weights, headName(weights, HEADS)),
    parallel: config.use_parallel_residual !== false,
  };
}

export function buildGptNeox(spec: TransformerSpec, weights: ModelWeights): Graph {
  const { D, V, layers, heads, headDim, mlpWidth, qkvBias, outputBias } = spec;
  const prefix = weights.tensors.has('embed_in.weight') ? '' : 'gpt_neox.';
  const g = createGraphBuilder();
  declareInputs(g, spec);
  const w = createWeightReader(g, weights);
  const norm = (x: Value, name: string) => w.layerNorm(x, name, spec);

  const embedded = w.rows(`${prefix}embed_in.weight`, [V, D], INPUTS.ids);
  let x = g.named('hook_embed', g.reshape(embedded, [-1, D]));
  const biases = attentionBiases(g, spec);
  for (let layer = 0; layer < layers; layer++) {
    const from = `${prefix}layers.${layer}`;
    x = decoderBlock(g, spec, layer, x, biases[layer]!, {
      norm1: (y) => norm(y, `${from}.input_layernorm`),
      project: (n) => {
        const fused = w.linear(n, `${from}.attention.query_key_value`, [3 * D, D], qkvBias);
        const [q, k, v] = g.split(g.reshape(fused, [-1, heads, 3 * headDim]), 3, 2) as [Value, Value, Value];
        return { q, k, v };
      },
      output: (z) => w.linear(z, `${from}.attention.dense`, [D, D], outputBias),
      norm2: (y, hook) => w.layerNorm(y, `${from}.post_attention_layernorm`, spec, { hook }),
      inner: (n) =>
        activate(g, w.linear(n, `${from}.mlp.dense_h_to_4h`, [mlpWidth, D], spec.mlpBias), spec.activation),
      down: (h) => w.linear(h, `${from}.mlp.dense_4h_to_h`, [D, mlpWidth], spec.mlpBias),
    });
  }
  const head = w.float(spec.tiedHead ? `${prefix}embed_in.weight` : headName(weights, HEADS), [V, D]);
  unembed(g, spec, norm(x, `${prefix}final_layer_norm`), head);
  return g.graph;
}
