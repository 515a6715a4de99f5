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
import { createGraphBuilder, type Graph } from '../../graph/index.ts';
import type { ModelWeights } from '../hf-folder.ts';
import {
  activate,
  attention,
  attentionBias,
  createWeightReader,
  declareInputs,
  INPUTS,
  unembed,
} from './blocks.ts';
import { count, isTied, parseActivation, real, refuse, type TransformerSpec } from './spec.ts';

const HEAD = 'lm_head.weight';

export function parseGpt2(config: Readonly<Record<string, unknown>>, weights: ModelWeights): TransformerSpec {
  refuse(config, 'add_cross_attention', [false]);
  const D = count(config, 'n_embd', 768);
  const layers = count(config, 'n_layer', 12);
  const heads = count(config, 'n_head', 12);
  if (D % heads !== 0) throw new Error(`config.json: n_embd ${D} is no multiple of n_head ${heads}`);
  const scale = config.scale_attn_weights === false ? 1 : 1 / Math.sqrt(D / heads);
  const perLayer = config.scale_attn_by_inverse_layer_idx === true;
  return {
    family: 'gpt2',
    D,
    layers,
    heads,
    kvHeads: heads,
    headDim: D / heads,
    V: count(config, 'vocab_size', 50257),
    contextLength: count(config, 'n_positions', 1024),
    mlpWidth: count(config, 'n_inner', 4 * D),
    normEpsilon: real(config, 'layer_norm_epsilon', 1e-5),
    activation: parseActivation(config.activation_function ?? 'gelu_new', 'activation_function'),
    attentionScales: Array.from({ length: layers }, (_, layer) => (perLayer ? scale / (layer + 1) : scale)),
    attentionBias: true,
    mlpBias: true,
    tiedHead: isTied(config, true, weights, HEAD),
    rope: undefined,
  };
}

export function buildGpt2(spec: TransformerSpec, weights: ModelWeights): Graph {
  const { D, V, layers, mlpWidth, contextLength } = spec;
  // Files saved from the bare GPT2Model have no prefix.
  const prefix = weights.tensors.has('wte.weight') ? '' : 'transformer.';
  const g = createGraphBuilder();
  declareInputs(g, spec);
  const w = createWeightReader(g, weights);
  const norm = (x: string, name: string) =>
    g.layerNormalization(x, w.float(`${name}.weight`, [D]), w.float(`${name}.bias`, [D]), spec.normEpsilon);
  const conv = (x: string, name: string, into: number, out: number) =>
    g.gemm(x, w.float(`${name}.weight`, [into, out]), w.float(`${name}.bias`, [out]));

  const tokens = w.rows(`${prefix}wte.weight`, [V, D], INPUTS.ids);
  const places = w.rows(`${prefix}wpe.weight`, [contextLength, D], INPUTS.positions);
  let x = g.add(
    g.named('hook_embed', g.reshape(tokens, [-1, D])),
    g.named('hook_pos_embed', g.reshape(places, [-1, D])),
  );
  const hidden = attentionBias(g);
  for (let layer = 0; layer < layers; layer++) {
    const from = `${prefix}h.${layer}`;
    const to = `blocks.${layer}`;
    const pre = g.named(`${to}.hook_resid_pre`, x);
    const qkv = conv(norm(pre, `${from}.ln_1`), `${from}.attn.c_attn`, D, 3 * D);
    const [q, k, v] = g.split(qkv, 3, 1) as [string, string, string];
    const z = attention(g, spec, layer, { q, k, v }, hidden);
    const attentionOut = g.named(`${to}.hook_attn_out`, conv(z, `${from}.attn.c_proj`, D, D));
    const mid = g.named(`${to}.hook_resid_mid`, g.add(pre, attentionOut));
    const inner = conv(norm(mid, `${from}.ln_2`), `${from}.mlp.c_fc`, D, mlpWidth);
    const post = g.named(`${to}.mlp.hook_post`, activate(g, inner, spec.activation));
    const mlpOut = g.named(`${to}.hook_mlp_out`, conv(post, `${from}.mlp.c_proj`, mlpWidth, D));
    x = g.named(`${to}.hook_resid_post`, g.add(mid, mlpOut));
  }
  const head = w.float(spec.tiedHead ? `${prefix}wte.weight` : HEAD, [V, D]);
  unembed(g, norm(x, `${prefix}ln_f`), head);
  return g.graph;
}
