/**
 * Llama (Touvron et al. 2023; Llama 3.x; SmolLM and others that share the architecture).
 *
 *     x0 = E[ids]
 *     mid_l  = x_l + attn(rms(x_l)) Wo^T          rotary positions, grouped key and value heads
 *     x_l+1  = mid_l + (silu(n Wg^T) * (n Wu^T)) Wd^T,  n = rms(mid_l)
 *     logits = rms(x_L) H^T                        H = E when tied
 *     rms(x) = x / sqrt(mean(x^2) + eps) * w
 *
 * Weights are [out,in], as PyTorch keeps them.
 */
import { createGraphBuilder, type Graph } from '../../graph/index.ts';
import type { ModelWeights } from '../hf-folder.ts';
import { parseRope } from '../rope.ts';
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

export function parseLlama(
  config: Readonly<Record<string, unknown>>,
  weights: ModelWeights,
): TransformerSpec {
  refuse(config, 'pretraining_tp', [1]);
  const D = count(config, 'hidden_size');
  const layers = count(config, 'num_hidden_layers');
  const heads = count(config, 'num_attention_heads');
  const kvHeads = count(config, 'num_key_value_heads', heads);
  const headDim = count(config, 'head_dim', D / heads);
  if (heads % kvHeads !== 0)
    throw new Error(
      `config.json: num_attention_heads ${heads} is no multiple of num_key_value_heads ${kvHeads}`,
    );
  if (headDim % 2 !== 0)
    throw new Error(`config.json: head_dim ${headDim} is odd; rotary positions need pairs`);
  const maxPositions = count(config, 'max_position_embeddings', 2048);
  const rope = parseRope(config, maxPositions);
  return {
    family: 'llama',
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
    attentionScales: Array.from({ length: layers }, () => 1 / Math.sqrt(headDim)),
    attentionBias: config.attention_bias === true,
    mlpBias: config.mlp_bias === true,
    tiedHead: isTied(config, false, weights, HEAD),
    rope,
  };
}

export function buildLlama(spec: TransformerSpec, weights: ModelWeights): Graph {
  const { D, V, layers, heads, kvHeads, headDim, mlpWidth } = spec;
  const g = createGraphBuilder();
  declareInputs(g, spec);
  const w = createWeightReader(g, weights);
  const norm = (x: string, name: string) => g.rmsNormalization(x, w.float(name, [D]), spec.normEpsilon);
  const linear = (x: string, name: string, out: number, into: number, bias: boolean) =>
    g.gemm(x, w.float(`${name}.weight`, [out, into]), bias ? w.float(`${name}.bias`, [out]) : undefined, {
      transB: true,
    });

  const embedded = w.rows('model.embed_tokens.weight', [V, D], INPUTS.ids);
  let x = g.named('hook_embed', g.reshape(embedded, [-1, D]));
  const hidden = attentionBias(g);
  for (let layer = 0; layer < layers; layer++) {
    const from = `model.layers.${layer}`;
    const to = `blocks.${layer}`;
    const pre = g.named(`${to}.hook_resid_pre`, x);
    const n1 = norm(pre, `${from}.input_layernorm.weight`);
    const z = attention(
      g,
      spec,
      layer,
      {
        q: linear(n1, `${from}.self_attn.q_proj`, heads * headDim, D, spec.attentionBias),
        k: linear(n1, `${from}.self_attn.k_proj`, kvHeads * headDim, D, spec.attentionBias),
        v: linear(n1, `${from}.self_attn.v_proj`, kvHeads * headDim, D, spec.attentionBias),
      },
      hidden,
    );
    const attentionOut = linear(z, `${from}.self_attn.o_proj`, D, heads * headDim, spec.attentionBias);
    const mid = g.named(`${to}.hook_resid_mid`, g.add(pre, g.named(`${to}.hook_attn_out`, attentionOut)));
    const n2 = norm(mid, `${from}.post_attention_layernorm.weight`);
    const gate = activate(g, linear(n2, `${from}.mlp.gate_proj`, mlpWidth, D, spec.mlpBias), spec.activation);
    const post = g.named(
      `${to}.mlp.hook_post`,
      g.mul(gate, linear(n2, `${from}.mlp.up_proj`, mlpWidth, D, spec.mlpBias)),
    );
    const mlpOut = g.named(
      `${to}.hook_mlp_out`,
      linear(post, `${from}.mlp.down_proj`, D, mlpWidth, spec.mlpBias),
    );
    x = g.named(`${to}.hook_resid_post`, g.add(mid, mlpOut));
  }
  const head = w.float(spec.tiedHead ? 'model.embed_tokens.weight' : HEAD, [V, D]);
  unembed(g, norm(x, 'model.norm.weight'), head);
  return g.graph;
}
