/**
 * A block of a decoder: attention and MLP read the residual stream through a norm and write back into it.
 *
 *     mid = x + attn(norm1(x))      x' = mid + mlp(norm2(mid))
 *     parallel:                     x' = x + attn(norm1(x)) + mlp(norm2(x)), and there is no mid
 *
 * A family gives the parts; the order of things and the hooks are the same for all. hook_attn_out and hook_mlp_out are what is
 * added to the stream, behind a last norm where a family has one. ln2.hook_normalized is norm2 before its gain and shift, mlp.hook_in behind them.
 */
import type { GraphBuilder, Value } from '../../graph/index.ts';
import { attention, type Projections } from './blocks.ts';
import type { TransformerSpec } from './spec.ts';

/** The parts of one block, each from rows [N,.] to rows. */
export type BlockParts = {
  readonly norm1: (x: Value) => Value;
  readonly project: (normalized: Value) => Projections;
  /** z [N,H d] -> what attention writes [N,D] */
  readonly output: (z: Value) => Value;
  /** `hook` names the value before gain and shift. */
  readonly norm2: (x: Value, hook: Value) => Value;
  /** -> the inner activations [N,M] */
  readonly inner: (normalized: Value) => Value;
  /** -> what the MLP writes [N,D] */
  readonly down: (inner: Value) => Value;
};

/** One block, from the residual stream x [N,D] to the next. Names its hooks. */
export function decoderBlock(
  g: GraphBuilder,
  spec: TransformerSpec,
  layer: number,
  x: Value,
  bias: Value,
  parts: BlockParts,
): Value {
  const block = `blocks.${layer}`;
  const pre = g.named(`${block}.hook_resid_pre`, x);
  const z = attention(g, spec, layer, parts.project(parts.norm1(pre)), bias);
  const attentionOut = g.named(`${block}.hook_attn_out`, parts.output(z));
  const sum = g.add(pre, attentionOut);
  const mid = spec.parallel ? pre : g.named(`${block}.hook_resid_mid`, sum);
  const normalized = parts.norm2(mid, `${block}.ln2.hook_normalized`);
  const post = g.named(`${block}.mlp.hook_post`, parts.inner(g.named(`${block}.mlp.hook_in`, normalized)));
  const mlpOut = g.named(`${block}.hook_mlp_out`, parts.down(post));
  return g.named(`${block}.hook_resid_post`, g.add(spec.parallel ? sum : mid, mlpOut));
}
