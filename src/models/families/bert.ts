/**
 * BERT (Devlin et al. 2019); MiniLM and other sentence encoders. Every token sees every token, norms stand behind the sums, and there is
 * no next token to predict.
 *
 *     x0    = ln(E[ids] + P[position] + S[0])            S[0]: the first of two token types
 *     n_l   = ln(x_l + attn(x_l))
 *     x_l+1 = ln(n_l + gelu(n_l W1^T + b1) W2^T + b2)
 *
 * Hooks are those of TransformerLens's HookedEncoder: hook_resid_mid and hook_resid_post are the sums before their norms,
 * hook_normalized_resid_post is x_l+1. Weights are [out,in].
 */
import { createGraphBuilder, type Graph, type Value } from '../../graph/index.ts';
import type { ModelWeights } from '../hf-folder.ts';
import { activate, attention, attentionBiases, declareInputs, INPUTS } from './blocks.ts';
import {
  type Config,
  count,
  evenHeads,
  everyLayer,
  layerCount,
  parseActivation,
  real,
  refuse,
  type TransformerSpec,
} from './spec.ts';
import { createWeightReader } from './weights.ts';

export function parseBert(config: Config): TransformerSpec {
  refuse(config, 'is_decoder', [false]);
  refuse(config, 'add_cross_attention', [false]);
  refuse(config, 'position_embedding_type', ['absolute']);
  const { D, heads, headDim } = evenHeads(config, ['hidden_size', 'num_attention_heads'], [768, 12]);
  const layers = layerCount(config, 'num_hidden_layers', 12);
  return {
    family: 'bert',
    encoder: true,
    D,
    layers,
    heads,
    kvHeads: heads,
    headDim,
    V: count(config, 'vocab_size', 30522),
    contextLength: count(config, 'max_position_embeddings', 512),
    mlpWidth: count(config, 'intermediate_size', 3072),
    normEpsilon: real(config, 'layer_norm_eps', 1e-12),
    activation: parseActivation(config.hidden_act ?? 'gelu', 'hidden_act'),
    attention: everyLayer(layers, { scale: 1 / Math.sqrt(headDim) }),
    qkvBias: true,
    outputBias: true,
    mlpBias: true,
    tiedHead: true,
    tokenTypes: count(config, 'type_vocab_size', 2),
  };
}

export function buildBert(spec: TransformerSpec, weights: ModelWeights): Graph {
  const { D, V, layers, mlpWidth, contextLength } = spec;
  const prefix = weights.tensors.has('embeddings.word_embeddings.weight') ? '' : 'bert.';
  const g = createGraphBuilder();
  declareInputs(g, spec);
  const w = createWeightReader(g, weights);
  const norm = (x: Value, name: string) => {
    // Files that were converted from TensorFlow keep its names.
    const old = weights.tensors.has(`${name}.gamma`);
    return w.layerNorm(x, name, spec, old ? { names: ['gamma', 'beta'] } : {});
  };

  const from = `${prefix}embeddings`;
  const look = (table: string, rows: number, at: Value, hook: string) =>
    g.named(hook, g.reshape(w.rows(`${from}.${table}.weight`, [rows, D], at), [-1, D]));
  const tokens = look('word_embeddings', V, INPUTS.ids, 'embed.hook_embed');
  const places = look('position_embeddings', contextLength, INPUTS.positions, 'embed.hook_pos_embed');
  const first = g.sub(INPUTS.positions, INPUTS.positions);
  const types = look('token_type_embeddings', spec.tokenTypes!, first, 'embed.hook_token_type_embed');
  let x = g.named('hook_full_embed', norm(g.add(g.add(tokens, types), places), `${from}.LayerNorm`));
  const biases = attentionBiases(g, spec);
  for (let layer = 0; layer < layers; layer++) {
    const from = `${prefix}encoder.layer.${layer}`;
    const to = `blocks.${layer}`;
    const pre = g.named(`${to}.hook_resid_pre`, x);
    const [q, k, v] = ['query', 'key', 'value'].map((name) =>
      w.linear(pre, `${from}.attention.self.${name}`, [D, D], true),
    ) as [Value, Value, Value];
    const z = attention(g, spec, layer, { q, k, v }, biases[layer]!);
    const attentionOut = g.named(
      `${to}.hook_attn_out`,
      w.linear(z, `${from}.attention.output.dense`, [D, D], true),
    );
    const mid = g.named(`${to}.hook_resid_mid`, g.add(pre, attentionOut));
    const normalized = norm(mid, `${from}.attention.output.LayerNorm`);
    const inner = w.linear(normalized, `${from}.intermediate.dense`, [mlpWidth, D], true);
    const post = g.named(`${to}.mlp.hook_post`, activate(g, inner, spec.activation));
    const mlpOut = g.named(`${to}.hook_mlp_out`, w.linear(post, `${from}.output.dense`, [D, mlpWidth], true));
    const sum = g.named(`${to}.hook_resid_post`, g.add(normalized, mlpOut));
    x = g.named(`${to}.hook_normalized_resid_post`, norm(sum, `${from}.output.LayerNorm`));
  }
  return g.graph;
}
