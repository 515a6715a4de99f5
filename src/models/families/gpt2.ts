/**
 * GPT-2 (Radford et al. 2019).
 *
 *     x0 = E[ids] + P[position]
 *     mid_l  = x_l + attn(ln(x_l)) Wo + bo
 *     x_l+1  = mid_l + gelu(ln(mid_l) W1 + b1) W2 + b2
 *     logits = ln(x_L) E^T
 *
 * Weights are [in,out] (Conv1D); c_attn holds query, key and value side by side.
 */
import { createGraphBuilder, type Graph, type Value } from '../../graph/index.ts';
import type { ModelWeights } from '../hf-folder.ts';
import { activate, attentionBiases, declareInputs, INPUTS, unembed } from './blocks.ts';
import { decoderBlock } from './decoder.ts';
import {
  type Config,
  count,
  evenHeads,
  isTied,
  layerCount,
  parseActivation,
  real,
  refuse,
  type TransformerSpec,
} from './spec.ts';
import { createWeightReader } from './weights.ts';

const HEAD = 'lm_head.weight';

export function parseGpt2(config: Config, weights: ModelWeights): TransformerSpec {
  refuse(config, 'add_cross_attention', [false]);
  const { D, heads, headDim } = evenHeads(config, ['n_embd', 'n_head'], [768, 12]);
  const layers = layerCount(config, 'n_layer', 12);
  const scale = config.scale_attn_weights === false ? 1 : 1 / Math.sqrt(headDim);
  const perLayer = config.scale_attn_by_inverse_layer_idx === true;
  return {
    family: 'gpt2',
    D,
    layers,
    heads,
    kvHeads: heads,
    headDim,
    V: count(config, 'vocab_size', 50257),
    contextLength: count(config, 'n_positions', 1024),
    mlpWidth: count(config, 'n_inner', 4 * D),
    normEpsilon: real(config, 'layer_norm_epsilon', 1e-5),
    activation: parseActivation(config.activation_function ?? 'gelu_new', 'activation_function'),
    attention: Array.from({ length: layers }, (_, layer) => ({
      scale: perLayer ? scale / (layer + 1) : scale,
    })),
    qkvBias: true,
    outputBias: true,
    mlpBias: true,
    tiedHead: isTied(config, true, weights, HEAD),
  };
}

export function buildGpt2(spec: TransformerSpec, weights: ModelWeights): Graph {
  const { D, V, layers, mlpWidth, contextLength } = spec;
  // Files saved from the bare GPT2Model have no prefix.
  const prefix = weights.tensors.has('wte.weight') ? '' : 'transformer.';
  const g = createGraphBuilder();
  declareInputs(g, spec);
  const w = createWeightReader(g, weights);
  const norm = (x: Value, name: string) => w.layerNorm(x, name, spec);
  const conv = (x: Value, name: string, into: number, out: number) =>
    g.gemm(x, w.float(`${name}.weight`, [into, out]), w.float(`${name}.bias`, [out]));

  const tokens = w.rows(`${prefix}wte.weight`, [V, D], INPUTS.ids);
  const places = w.rows(`${prefix}wpe.weight`, [contextLength, D], INPUTS.positions);
  let x = g.add(
    g.named('hook_embed', g.reshape(tokens, [-1, D])),
    g.named('hook_pos_embed', g.reshape(places, [-1, D])),
  );
  const biases = attentionBiases(g, spec);
  for (let layer = 0; layer < layers; layer++) {
    const from = `${prefix}h.${layer}`;
    x = decoderBlock(g, spec, layer, x, biases[layer]!, {
      norm1: (y) => norm(y, `${from}.ln_1`),
      project: (n) => {
        const [q, k, v] = g.split(conv(n, `${from}.attn.c_attn`, D, 3 * D), 3, 1) as [Value, Value, Value];
        return { q, k, v };
      },
      output: (z) => conv(z, `${from}.attn.c_proj`, D, D),
      norm2: (y, hook) => w.layerNorm(y, `${from}.ln_2`, spec, { hook }),
      inner: (n) => activate(g, conv(n, `${from}.mlp.c_fc`, D, mlpWidth), spec.activation),
      down: (h) => conv(h, `${from}.mlp.c_proj`, mlpWidth, D),
    });
  }
  const head = w.float(spec.tiedHead ? `${prefix}wte.weight` : HEAD, [V, D]);
  unembed(g, spec, norm(x, `${prefix}ln_f`), head);
  return g.graph;
}
