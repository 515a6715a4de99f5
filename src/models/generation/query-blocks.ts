/**
 * Attention of a prompt in blocks of queries, so that what causality hides is mostly not computed, and a block's scores stay near the processor:
 *
 *     mixed[T_i] = attention(q[T_i], K[< end of T_i], V[< end of T_i])        T = T_1 + ... + T_n; K, V: the cache, then the T tokens of this run
 *
 * (com.microsoft GroupQueryAttention took 1.2 to 1.5 times as long for a prompt of 512, one thread, 9 heads.)
 */
import { createGraphBuilder, type Graph, type GraphBuilder, type Value } from '../../graph/index.ts';
import type { GraphNode } from '../../graph/types.ts';

export const QUERY_BLOCKS = 8;

/** Sizes of the blocks, or undefined where there are too few tokens to gain by it. */
export const blockSizes = (T: number): number[] | undefined =>
  T < 2 * QUERY_BLOCKS
    ? undefined
    : Array.from(
        { length: QUERY_BLOCKS },
        (_, i) => Math.floor(((i + 1) * T) / QUERY_BLOCKS) - Math.floor((i * T) / QUERY_BLOCKS),
      );

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

/** Repeats nodes in another graph with some values in place of others; returns the value that stands for `wanted`. */
function repeat(
  g: GraphBuilder,
  nodes: readonly GraphNode[],
  wanted: Value,
  instead: Iterable<[Value, Value]> = [],
): Value {
  const names = new Map(instead);
  for (const { op, inputs, outputs, attributes, domain } of nodes) {
    const operands = inputs.map((input) => names.get(input) ?? input);
    const made = g.ops(op, operands, outputs.length, attributes, domain);
    outputs.forEach((output, i) => {
      names.set(output, made[i]!);
    });
  }
  return names.get(wanted)!;
}

/**
 * One node for those between queries and mixed values: in blocks where `inBlocks` holds, otherwise as `whole` says.
 *
 * @param sizes int64 [QUERY_BLOCKS]
 */
export function inQueryBlocks(
  { initializers }: Graph,
  between: readonly GraphNode[],
  whole: readonly GraphNode[],
  { queries, keys, values, cachedKeys, cachedValues, mixed }: AttentionValues,
  { inBlocks, sizes }: { inBlocks: Value; sizes: Value },
): GraphNode {
  const g = createGraphBuilder(`${mixed}/blocks_`);
  const all = createGraphBuilder(`${mixed}/whole_`);
  const parts = (value: Value, axis: number) => g.ops('Split', [value, sizes], QUERY_BLOCKS, { axis });
  const made = new Set(between.flatMap(({ outputs }) => outputs));
  const operands = new Set([...between, ...whole].flatMap(({ inputs }) => inputs));
  for (const node of whole) for (const output of node.outputs) made.add(output);
  const reads = [...operands, cachedKeys, cachedValues, sizes].filter((value) => !made.has(value));
  // What else differs from query to query is the bias [M,1,T,S].
  const bias = between
    .flatMap(({ inputs }) => inputs)
    .find((v) => !made.has(v) && !initializers.has(v) && ![queries, keys, values].includes(v))!;
  const [q, k, v, b] = [parts(queries, 2), parts(keys, 3), parts(values, 2), parts(bias, 2)];
  let [K, V] = [cachedKeys, cachedValues];
  const blocks = q.map((block, i) => {
    K = g.concat([K, k[i]!], 3);
    V = g.concat([V, v[i]!], 2);
    const end = g.op('Shape', [K], { start: 3 });
    const near = g.op('Slice', [b[i]!, g.axes([0]), end, g.axes([3])]);
    return repeat(g, between, mixed, [
      [queries, block],
      [keys, K],
      [values, V],
      [bias, near],
    ]);
  });
  return {
    op: 'If',
    domain: '',
    inputs: [inBlocks],
    outputs: [mixed],
    reads: [...new Set(reads)],
    attributes: {
      then_branch: { branch: g.graph, outputs: [g.concat(blocks, 2)] },
      else_branch: { branch: all.graph, outputs: [repeat(all, whole, mixed)] },
    },
  };
}
