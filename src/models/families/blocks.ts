/**
 * Parts that the families share. Inside a graph the residual stream is [N,D] with N = B T rows, so that every product is
 * one Gemm with the weights as they lie in the file; heads are split off with the batch shape only inside attention.
 *
 *     scores[b,h,i,j] = cap(scale q[b,h,i] . k[b,g(h),j])     g(h) = floor(h kvHeads / heads)
 *     pattern = softmax(scores + bias)                        bias = 0 where 0 <= i - j < window and token j is real, else -1e30
 *     z[b,i,h] = sum_j pattern[b,h,i,j] v[b,g(h),j]
 *     cap(s) = c tanh(s / c), in models that have one
 */
import type { GraphBuilder, Value } from '../../graph/index.ts';
import { type Activation, ropesOf, type TransformerSpec } from './spec.ts';

/** Graph inputs, by name. The runtime feeds those that survive the cut. */
export const INPUTS = {
  /** int32 [B,T] */
  ids: 'ids',
  /** bool [M,T], M = 1 when no row is padded */
  mask: 'mask',
  /** int32 [T]: 0, 1, 2, ... */
  index: 'index',
  /** int32 [B,T], learned positions only */
  positions: 'positions',
  /** int64 [4]: B, T, -1, headDim */
  headShape: 'head_shape',
  /** int64 [B,T]: the row of the rotary tables that belongs to each token */
  rotaryRows: 'rotary_rows',
  /** int32 [N,1]: the next token of every row, for the loss */
  targets: 'targets',
} as const;

/** Inputs of the rotary tables, float32 [R,dims/2], R = T, or B T when rows of the batch differ: one pair for each of `ropesOf(spec)`. */
export const ropeInputs = (index: number) =>
  index === 0 ? { cos: 'cos', sin: 'sin' } : { cos: `cos_${index}`, sin: `sin_${index}` };

/** What the masks are made of: which keys are real tokens, and the positions of queries and keys. A cache puts its own in their place. */
export const MASK_PARTS = {
  real: 'attention_real',
  queries: 'attention_queries',
  keys: 'attention_keys',
} as const;

/** Values that are not hooks but can be fetched. */
export const LOGITS = 'logits';
/** Before the cap, in models that cap logits. */
export const UNCAPPED = 'logits_uncapped';
export const LOSS = 'loss';

/** Far below any score, and finite: a padded row without a single real token before it must not become NaN. */
const MASKED = -1e30;

/** Declares the graph's inputs; the cut drops those that are not needed. */
export function declareInputs(g: GraphBuilder, spec: TransformerSpec): void {
  g.input(INPUTS.ids, 'int32', ['B', 'T']);
  g.input(INPUTS.mask, 'bool', ['M', 'T']);
  g.input(INPUTS.index, 'int32', ['T']);
  g.input(INPUTS.headShape, 'int64', [4]);
  g.input(INPUTS.targets, 'int32', ['N', 1]);
  const ropes = ropesOf(spec);
  for (const [index, { dims }] of ropes.entries()) {
    const { cos, sin } = ropeInputs(index);
    g.input(cos, 'float32', ['R', dims / 2]);
    g.input(sin, 'float32', ['R', dims / 2]);
  }
  if (ropes.length > 0) g.input(INPUTS.rotaryRows, 'int64', ['B', 'T']);
  else g.input(INPUTS.positions, 'int32', ['B', 'T']);
}

/**
 * The additive biases [M,1,T,T] that hide later, distant and padded tokens, one per layer; layers with the same window share theirs.
 * In an encoder [M,1,1,T]: only padded ones.
 */
export function attentionBiases(g: GraphBuilder, { attention, encoder }: TransformerSpec): Value[] {
  const real = g.named(MASK_PARTS.real, g.unsqueeze(INPUTS.mask, [1, 2]));
  if (encoder) {
    const bias = g.where(real, g.scalar(0), g.scalar(MASKED));
    return attention.map(() => bias);
  }
  const queries = g.named(MASK_PARTS.queries, g.unsqueeze(INPUTS.index, [1]));
  const keys = g.named(MASK_PARTS.keys, g.unsqueeze(INPUTS.index, [0]));
  const causal = g.op('And', [real, g.op('GreaterOrEqual', [queries, keys])]);
  const biasOf = (window: number | undefined): Value => {
    const near = () => g.op('Less', [g.sub(queries, keys), g.int32(window!)]);
    return g.where(
      window === undefined ? causal : g.op('And', [causal, near()]),
      g.scalar(0),
      g.scalar(MASKED),
    );
  };
  const biases = new Map<number | undefined, Value>();
  for (const { window } of attention) if (!biases.has(window)) biases.set(window, biasOf(window));
  return attention.map(({ window }) => biases.get(window)!);
}

/**
 * Rotates the first dimensions of every head, x [B,heads,T,d], by the angles of its layer; the rest stays. One operator of the engine's own:
 * written out it is nine, which cost 1 to 2 of 23 ms of a token in a model of 135 M.
 */
function rotate(g: GraphBuilder, x: Value, heads: number, spec: TransformerSpec, layer: number): Value {
  const { rope } = spec.attention[layer]!;
  if (!rope) return x;
  const { dims } = rope;
  const index = ropesOf(spec).findIndex((other) => JSON.stringify(other) === JSON.stringify(rope));
  const { cos, sin } = ropeInputs(index);
  const partial = dims < spec.headDim ? { rotary_embedding_dim: dims, num_heads: heads } : {};
  return g.op('RotaryEmbedding', [x, INPUTS.rotaryRows, cos, sin], partial, 'com.microsoft');
}

/** cap(x) = c tanh(x / c); without c, x itself. */
const softCap = (g: GraphBuilder, x: Value, c: number | undefined): Value =>
  c === undefined ? x : g.mul(g.op('Tanh', [g.div(x, g.scalar(c))]), g.scalar(c));

/** Projected queries [N,H d], keys and values [N,kvHeads d]; heads may stand in an axis of their own. */
export type Projections = { readonly q: Value; readonly k: Value; readonly v: Value };

/**
 * Attention of one layer, from projections to z [N,H d].
 * Names blocks.L.attn.hook_pattern and hook_z.
 */
export function attention(
  g: GraphBuilder,
  spec: TransformerSpec,
  layer: number,
  { q, k, v }: Projections,
  bias: Value,
): Value {
  const { heads, kvHeads, headDim } = spec;
  const split = (x: Value) => g.reshape(x, INPUTS.headShape);
  const perHead = (x: Value) => g.transpose(split(x), [0, 2, 1, 3]);
  const queries = rotate(g, perHead(q), heads, spec, layer);
  // Named for the cache (generation/cached-graph.ts).
  const keys = g.named(
    `blocks.${layer}.attn/keys`,
    g.transpose(rotate(g, perHead(k), kvHeads, spec, layer), [0, 1, 3, 2]),
  );
  const values = g.named(`blocks.${layer}.attn/values`, perHead(v));
  // Query heads that share a key head are stacked along the rows, so keys are never repeated.
  const stack = (x: Value) => (heads === kvHeads ? x : g.reshape(x, [0, kvHeads, -1, 0]));
  const unstack = (x: Value, last: number) => (heads === kvHeads ? x : g.reshape(x, [0, heads, -1, last]));
  const named = g.named(`blocks.${layer}.attn/queries`, queries);
  // The scale right behind the product: the engine folds it in.
  const scaled = g.mul(g.matMul(stack(named), keys), g.scalar(spec.attention[layer]!.scale));
  const scores = softCap(g, scaled, spec.scoreCap);
  const pattern = g.named(`blocks.${layer}.attn.hook_pattern`, g.softmax(g.add(unstack(scores, 0), bias)));
  const mixed = g.named(`blocks.${layer}.attn/mixed`, unstack(g.matMul(stack(pattern), values), headDim));
  const z = g.named(`blocks.${layer}.attn.hook_z`, g.transpose(mixed, [0, 2, 1, 3]));
  return g.named(`blocks.${layer}.attn/z_rows`, g.reshape(z, [-1, heads * headDim]));
}

/** An activation function, elementwise. */
export function activate(g: GraphBuilder, x: Value, activation: Activation): Value {
  if (activation === 'silu') return g.mul(x, g.sigmoid(x));
  if (activation === 'relu') return g.relu(x);
  return g.gelu(x, activation === 'gelu' ? 'none' : 'tanh');
}

/** Logits [N,V], before a cap too, and the loss of every row [N,1]: -log softmax(logits)[target]. */
export function unembed(
  g: GraphBuilder,
  spec: Pick<TransformerSpec, 'logitCap'>,
  normalized: Value,
  head: Value,
): void {
  const products = g.gemm(normalized, head, undefined, { transB: true });
  const uncapped = spec.logitCap === undefined ? products : g.named(UNCAPPED, products);
  const logits = g.named(LOGITS, softCap(g, uncapped, spec.logitCap));
  g.named(LOSS, g.op('Neg', [g.gatherElements(g.logSoftmax(logits), INPUTS.targets, 1)]));
}
