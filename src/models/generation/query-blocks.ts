/**
 * Attention of a prompt in blocks of queries, so that what causality hides is mostly not computed, and a block's scores stay near the processor:
 *
 *     mixed[T_i] = attention(q[T_i], K[< end of T_i], V[< end of T_i])        T = T_1 + ... + T_n; K, V: the cache, then the T tokens of this run
 *
 * (com.microsoft GroupQueryAttention took 1.2 to 1.5 times as long for a prompt of 512, one thread, 9 heads.)
 */
import { createGraphBuilder, type Graph, type GraphBuilder, type Value } from '../../graph/index.ts';
import type { GraphNode } from '../../graph/types.ts';

/** More would leave out more of what causality hides, but their smaller products and the nodes around them cost more than that. */
export const QUERY_BLOCKS = 4;

/** Sizes of the blocks, or undefined where there are too few tokens to gain by it. */
export const blockSizes = (T: number): number[] | undefined =>
  T < 4 * QUERY_BLOCKS
    ? undefined
    : Array.from(
        { length: QUERY_BLOCKS },
        (_, i) => Math.floor(((i + 1) * T) / QUERY_BLOCKS) - Math.floor((i * T) / QUERY_BLOCKS),
      );

export type HeadSizes = { readonly heads: number; readonly kvHeads: number; readonly headDim: number };

/** What attention of one layer reads and makes. */
export type AttentionValues = {
  readonly queries: Value;
  readonly keys: Value;
  readonly values: Value;
  readonly cachedKeys: Value;
  readonly cachedValues: Value;
  readonly mixed: Value;
};

/** The nodes between the queries and what they mix, in order. */
export function nodesBetween(nodes: readonly GraphNode[], { queries, mixed }: AttentionValues): GraphNode[] {
  const behind = new Set([queries]);
  return nodes.filter(({ inputs, outputs }) => {
    if (behind.has(mixed) || !inputs.some((input) => behind.has(input))) return false;
    for (const output of outputs) behind.add(output);
    return true;
  });
}

/** The bias [M,1,T,S] that nodes between queries and mixed values add: what differs from query to query beside the queries. */
export const biasAmong = (
  between: readonly GraphNode[],
  { initializers }: Graph,
  { queries, keys, values }: AttentionValues,
): Value => {
  const made = new Set(between.flatMap(({ outputs }) => outputs));
  return between
    .flatMap(({ inputs }) => inputs)
    .find((v) => !made.has(v) && !initializers.has(v) && ![queries, keys, values].includes(v))!;
};

/**
 * Repeats nodes in another graph with some values in place of others; returns the value that stands for `wanted`. Reshapes are left out:
 * they only stack the heads that share keys, which have an axis of their own here.
 */
function repeat(
  g: GraphBuilder,
  nodes: readonly GraphNode[],
  wanted: Value,
  instead: Iterable<[Value, Value]> = [],
  { stacked = false }: { stacked?: boolean } = {},
): Value {
  const names = new Map(instead);
  for (const { op, inputs, outputs, attributes, domain } of nodes) {
    const operands = inputs.map((input) => names.get(input) ?? input);
    const made =
      op === 'Reshape' && !stacked ? operands : g.ops(op, operands, outputs.length, attributes, domain);
    outputs.forEach((output, i) => {
      names.set(output, made[i]!);
    });
  }
  return names.get(wanted)!;
}

/** Inputs that say whether there are blocks: bool, int64 [QUERY_BLOCKS], int64 [2] of C and T. */
export type BlockInputs = { readonly inBlocks: Value; readonly sizes: Value; readonly split: Value };

/** The bias [M,1,T,C+T] of every block over the keys that it sees, [M,1,1,T_i,C+T_1+..+T_i]: cut once for all layers. Where there are no blocks, nothing. */
export function biasOfBlocks(
  bias: Value,
  { inBlocks, sizes, split }: BlockInputs,
): { node: GraphNode; biases: readonly Value[] } {
  const g = createGraphBuilder(`${bias}/blocks_`);
  const none = createGraphBuilder(`${bias}/none_`);
  let end = g.slice(split, 0, 1, 0);
  const each = g.split(sizes, QUERY_BLOCKS, 0);
  const outputs = g.ops('Split', [bias, sizes], QUERY_BLOCKS, { axis: 2 }).map((block, i) => {
    end = g.add(end, each[i]!);
    return g.unsqueeze(g.op('Slice', [block, g.axes([0]), end, g.axes([3])]), [2]);
  });
  const biases = outputs.map((_, i) => `${bias}/block_${i}`);
  const node: GraphNode = {
    op: 'If',
    domain: '',
    inputs: [inBlocks],
    outputs: biases,
    reads: [bias, sizes, split],
    attributes: {
      then_branch: { branch: g.graph, outputs },
      else_branch: { branch: none.graph, outputs: outputs.map(() => none.op('Identity', [none.scalar(0)])) },
    },
  };
  return { node, biases };
}

/**
 * One node for those between queries and mixed values: in blocks where `inBlocks` holds, otherwise as `whole` says. In blocks every query
 * head is a product of its own, [kvHeads,H/kvHeads] of them: more to deal to threads than stacks of heads, and no reshaping.
 *
 * @param biases of the blocks, from `biasOfBlocks`
 */
export function inQueryBlocks(
  between: readonly GraphNode[],
  whole: readonly GraphNode[],
  { queries, keys, values, cachedKeys, cachedValues, mixed }: AttentionValues,
  { inBlocks, sizes }: BlockInputs,
  bias: Value,
  biases: readonly Value[],
  { heads, kvHeads, headDim }: HeadSizes,
): GraphNode {
  const g = createGraphBuilder(`${mixed}/blocks_`);
  const all = createGraphBuilder(`${mixed}/whole_`);
  const parts = (value: Value, axis: number) => g.ops('Split', [value, sizes], QUERY_BLOCKS, { axis });
  const made = new Set(between.flatMap(({ outputs }) => outputs));
  const operands = new Set([...between, ...whole].flatMap(({ inputs }) => inputs));
  for (const node of whole) for (const output of node.outputs) made.add(output);
  const reads = [...operands, ...biases, cachedKeys, cachedValues, sizes].filter((value) => !made.has(value));
  const q = parts(g.reshape(queries, [0, kvHeads, heads / kvHeads, -1, headDim]), 3);
  const [k, v] = [parts(keys, 3), parts(values, 2)];
  let [K, V] = [cachedKeys, cachedValues];
  const blocks = q.map((block, i) => {
    K = g.concat([K, k[i]!], 3);
    V = g.concat([V, v[i]!], 2);
    return repeat(g, between, mixed, [
      [queries, block],
      [keys, g.unsqueeze(K, [2])],
      [values, g.unsqueeze(V, [2])],
      [bias, biases[i]!],
    ]);
  });
  const joined = g.reshape(g.concat(blocks, 3), [0, heads, -1, headDim]);
  return {
    op: 'If',
    domain: '',
    inputs: [inBlocks],
    outputs: [mixed],
    reads: [...new Set(reads)],
    attributes: {
      then_branch: { branch: g.graph, outputs: [joined] },
      else_branch: { branch: all.graph, outputs: [repeat(all, whole, mixed, [], { stacked: true })] },
    },
  };
}
