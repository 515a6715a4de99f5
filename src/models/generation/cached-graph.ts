/**
 * The graph of a model with a cache of keys and values. Only the products with keys and values change; everything else, scaling, soft
 * caps, windows, hooks and steering, stays as the family wrote it:
 *
 *     scores = [ s q K | s q k ]            s: the scale, which the engine folds into both products; K [B,kvHeads,d,C], V [B,kvHeads,C,d]: the cache, fed and read in place, never copied
 *     mixed  = p_old V + p_new v            [ p_old | p_new ] = pattern [..,C+T],  k, v: of the T tokens of this run, returned
 *     logits of some rows only, and of what stands behind the last attention just those rows, where nobody asks for more
 *
 * Prompts go through attention in blocks of queries (query-blocks.ts), where nobody asks for the pattern.
 *
 * C slots may be more than there are tokens: `real` hides the others, and `keys` says at which position each slot stands.
 * (com.microsoft GroupQueryAttention works in place too, but was slower here, 24.4 against 23.5 ms a token at 512 slots and 35.9 against
 * 30.0 at 2048 in a model of 135 M, and has neither patterns nor soft caps per layer to look at.)
 */
import type { Graph, GraphNode, Value, ValueInfo } from '../../graph/index.ts';
import { INPUTS, LOGITS, MASK_PARTS } from '../families/blocks.ts';
import { chosenRows, valuesBehind } from './chosen-rows.ts';
import {
  type AttentionValues,
  biasAmong,
  biasOfBlocks,
  type HeadSizes,
  inQueryBlocks,
  nodesBetween,
  QUERY_BLOCKS,
} from './query-blocks.ts';

/** Inputs that the cached graph has beside those of the family. */
export const CACHE_INPUTS = {
  /** int64 [2]: C, T */
  split: 'cache_split',
  /** int32 [R]: rows of the residual [N,D] that the head reads */
  headRows: 'head_rows',
  /** bool: attention in blocks of queries */
  inBlocks: 'cache_in_blocks',
  /** int64 [QUERY_BLOCKS]: their sizes, T in all */
  blocks: 'cache_blocks',
} as const;

export const cacheNames = (layer: number) => ({
  /** New keys [B,kvHeads,d,T] and values [B,kvHeads,T,d]: outputs. */
  keys: `blocks.${layer}.attn/keys`,
  values: `blocks.${layer}.attn/values`,
  /** The cache: inputs. */
  cachedKeys: `blocks.${layer}.attn/cached_keys`,
  cachedValues: `blocks.${layer}.attn/cached_values`,
});

const node = (
  op: string,
  inputs: readonly Value[],
  outputs: readonly Value[],
  attributes: GraphNode['attributes'] = {},
): GraphNode => ({ op, domain: '', inputs, outputs, attributes });

const attentionValues = (layer: number): AttentionValues => ({
  ...cacheNames(layer),
  queries: `blocks.${layer}.attn/queries`,
  mixed: `blocks.${layer}.attn/mixed`,
});

/** What a cached graph has to know of its model. */
export type CachedModel = HeadSizes & {
  readonly layers: number;
  /** The residual that the head reads. */
  readonly last: Value;
};

/** @param wanted values that must be there for all tokens; logits are not */
export function cachedGraph(
  graph: Graph,
  { layers, last, ...heads }: CachedModel,
  wanted: readonly Value[],
): Graph {
  const inputs = new Map<Value, ValueInfo>(graph.inputs);
  inputs.set(CACHE_INPUTS.split, { type: 'int64', dims: [2] });
  inputs.set(CACHE_INPUTS.headRows, { type: 'int32', dims: ['R'] });
  inputs.set(CACHE_INPUTS.inBlocks, { type: 'bool', dims: [] });
  inputs.set(CACHE_INPUTS.blocks, { type: 'int64', dims: [QUERY_BLOCKS] });
  // Queries and keys stand at positions of their own in every row of the batch.
  inputs.set(MASK_PARTS.real, { type: 'bool', dims: ['M', 1, 1, 'S'] });
  inputs.set(MASK_PARTS.queries, { type: 'int32', dims: ['Q', 1, 'T', 1] });
  inputs.set(MASK_PARTS.keys, { type: 'int32', dims: ['Q', 1, 1, 'S'] });
  const keys = new Map<Value, Value>();
  const values = new Map<Value, Value>();
  for (let layer = 0; layer < layers; layer++) {
    const names = cacheNames(layer);
    keys.set(names.keys, names.cachedKeys);
    values.set(names.values, names.cachedValues);
    inputs.set(names.cachedKeys, { type: 'float32', dims: ['B', 'kv_heads', 'head_dim', 'C'] });
    inputs.set(names.cachedValues, { type: 'float32', dims: ['B', 'kv_heads', 'C', 'head_dim'] });
  }
  // The scale behind a product with keys: it goes in front of the concatenation, where the engine can fold it in.
  const products = new Set(
    graph.nodes.flatMap(({ op, inputs: [, b], outputs }) => (op === 'MatMul' && keys.has(b!) ? outputs : [])),
  );
  const scales = new Map(
    graph.nodes.flatMap((one) =>
      one.op === 'Mul' && products.has(one.inputs[0]!) ? [[one.inputs[0]!, one]] : [],
    ),
  );

  function changed(one: GraphNode): GraphNode[] {
    const [out] = one.outputs as [Value];
    const [a, b] = one.inputs as [Value, Value];
    if (one.outputs.some((output) => Object.values(MASK_PARTS).includes(output as never))) return [];
    if (one.op === 'MatMul' && keys.has(b)) {
      const scale = scales.get(out)!;
      return [
        node('MatMul', [a, keys.get(b)!], [`${out}/old`]),
        node('Mul', [`${out}/old`, scale.inputs[1]!], [`${out}/old_scaled`]),
        node('MatMul', [a, b], [`${out}/new`]),
        node('Mul', [`${out}/new`, scale.inputs[1]!], [`${out}/new_scaled`]),
        node('Concat', [`${out}/old_scaled`, `${out}/new_scaled`], scale.outputs, { axis: 3 }),
      ];
    }
    if (scales.get(a) === one) return [];
    if (one.op === 'MatMul' && values.has(b))
      return [
        node('Split', [a, CACHE_INPUTS.split], [`${out}/p_old`, `${out}/p_new`], { axis: 3 }),
        node('MatMul', [`${out}/p_old`, values.get(b)!], [`${out}/old`]),
        node('MatMul', [`${out}/p_new`, b], [`${out}/new`]),
        node('Add', [`${out}/old`, `${out}/new`], [out]),
      ];
    return [one];
  }
  const asked = new Set(wanted);
  const replaced = new Map<GraphNode, GraphNode[]>();
  const sizes = { inBlocks: CACHE_INPUTS.inBlocks, sizes: CACHE_INPUTS.blocks, split: CACHE_INPUTS.split };
  const biases = new Map<Value, readonly Value[]>();
  for (let layer = 0; layer < layers; layer++) {
    const values = attentionValues(layer);
    const between = nodesBetween(graph.nodes, values);
    if (between.some(({ outputs }) => outputs.some((output) => asked.has(output)))) continue;
    const whole = between.flatMap(changed);
    const bias = biasAmong(between, graph, values);
    const before: GraphNode[] = [];
    if (!biases.has(bias)) {
      const cut = biasOfBlocks(bias, sizes);
      biases.set(bias, cut.biases);
      before.push(cut.node);
    }
    for (const one of between) replaced.set(one, []);
    replaced.set(between.at(-1)!, [
      ...before,
      inQueryBlocks(between, whole, values, sizes, bias, biases.get(bias)!, heads),
    ]);
  }
  const nodes = graph.nodes.flatMap((one) => replaced.get(one) ?? changed(one));
  const z = `blocks.${layers - 1}.attn/z_rows`;
  const behind = valuesBehind(nodes, [z]);
  const from = wanted.some((value) => value !== LOGITS && behind.has(value)) ? last : z;
  return {
    nodes: chosenRows(nodes, from, { rows: CACHE_INPUTS.headRows, ids: INPUTS.ids }),
    inputs,
    initializers: graph.initializers,
  };
}
