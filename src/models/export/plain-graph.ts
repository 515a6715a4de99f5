/**
 * The graph of a model as other programs expect one: the inputs and outputs of Optimum's exports, standard operators only.
 *
 *     input_ids, position_ids [B,T]   attention_mask [B,P+T]   past_key_values.L.key, .value [B,kvHeads,P,d]
 *         -> logits [B,T,V]           present.L.key, .value [B,kvHeads,P+T,d]
 *
 * What the runtime here computes and feeds is computed inside: masks, and angles of rotary positions, cos and sin of position x frequency.
 */
import { createGraphBuilder, cutGraph, type Graph, ONNX_TYPES, type Value } from '../../graph/index.ts';
import type { GraphNode, ValueInfo } from '../../graph/types.ts';
import { INPUTS, LOGITS, MASK_PARTS, ropeInputs } from '../families/blocks.ts';
import { ropesOf, type TransformerSpec } from '../families/spec.ts';
import { cacheNames } from '../generation/cached-graph.ts';
import { type RopeSpec, ropeFrequencies } from '../rope.ts';

/** Names that Optimum gives and transformers.js looks for. */
export const PLAIN = {
  ids: 'input_ids',
  mask: 'attention_mask',
  positions: 'position_ids',
  logits: 'logits',
} as const;

export const plainCacheNames = (layer: number) => ({
  pastKeys: `past_key_values.${layer}.key`,
  pastValues: `past_key_values.${layer}.value`,
  keys: `present.${layer}.key`,
  values: `present.${layer}.value`,
});

export type PlainGraph = { readonly graph: Graph; readonly outputs: ReadonlyMap<Value, ValueInfo> };

type ExportedSpec = Pick<
  TransformerSpec,
  'family' | 'attention' | 'headDim' | 'kvHeads' | 'layers' | 'V' | 'encoder'
>;

/** @throws for a model that predicts no next token, and for angles that change with the length of the text */
export function plainGraph(graph: Graph, spec: ExportedSpec): PlainGraph {
  if (spec.encoder)
    throw new Error(
      `A ${spec.family} model is an encoder and predicts no next token: only models that write text are exported.`,
    );
  const ropes = ropesOf(spec);
  if (ropes.some(({ scaling }) => scaling.type === 'dynamic'))
    throw new Error(
      'Rotary positions with dynamic scaling turn the keys of a text again as it grows, which a cache of keys cannot follow: not exported. Other scalings are.',
    );
  const { kvHeads, headDim, layers, V } = spec;
  const g = createGraphBuilder('plain/');
  const { int32, float32 } = ONNX_TYPES;
  g.input(PLAIN.ids, 'int64', ['batch_size', 'sequence_length']);
  g.input(PLAIN.mask, 'int64', ['batch_size', 'total_sequence_length']);
  g.input(PLAIN.positions, 'int64', ['batch_size', 'sequence_length']);
  const past: ValueInfo = {
    type: 'float32',
    dims: ['batch_size', kvHeads, 'past_sequence_length', headDim],
  };
  for (let layer = 0; layer < layers; layer++) {
    const { pastKeys, pastValues } = plainCacheNames(layer);
    g.input(pastKeys, past.type, past.dims);
    g.input(pastValues, past.type, past.dims);
  }

  // What the runtime feeds.
  g.named(INPUTS.ids, g.cast(PLAIN.ids, int32));
  g.named(INPUTS.positions, g.cast(PLAIN.positions, int32));
  const shape = g.op('Shape', [PLAIN.ids]);
  g.named(INPUTS.headShape, g.concat([shape, g.axes([-1, headDim])], 0));
  const length = (value: Value, axis: number): Value =>
    g.cast(g.squeeze(g.op('Shape', [value], { start: axis, end: axis + 1 }), [0]), int32);
  const before = length(plainCacheNames(0).pastKeys, 2);
  const total = g.add(before, length(PLAIN.ids, 1));
  const range = (from: Value) => g.op('Range', [from, total, g.int32(1)]);
  g.named(MASK_PARTS.real, g.unsqueeze(g.cast(PLAIN.mask, ONNX_TYPES.bool), [1, 2]));
  g.named(MASK_PARTS.queries, g.unsqueeze(range(before), [0, 1, 3]));
  g.named(MASK_PARTS.keys, g.unsqueeze(range(g.int32(0)), [0, 1, 2]));
  const place = g.unsqueeze(g.cast(PLAIN.positions, float32), [1, 3]);
  ropes.forEach((rope, index) => {
    const angles = g.mul(place, frequencies(rope));
    const { cos, sin } = ropeInputs(index);
    const scale = rope.scaling.type === 'yarn' ? rope.scaling.attentionFactor : 1;
    const scaled = (x: Value) => (scale === 1 ? x : g.mul(x, g.scalar(scale)));
    g.named(cos, scaled(g.op('Cos', [angles])));
    g.named(sin, scaled(g.op('Sin', [angles])));
  });
  function frequencies(rope: RopeSpec): Value {
    const f = ropeFrequencies(rope, 0);
    return g.float32([f.length], f);
  }
  const prelude = g.graph.nodes.length;

  // The nodes of the family, but for rotations, keys, values and logits.
  const cached = new Map<Value, (node: GraphNode) => void>();
  for (let layer = 0; layer < layers; layer++) {
    const own = cacheNames(layer);
    const plain = plainCacheNames(layer);
    // keys = transpose(all keys), which is how the products read them.
    cached.set(own.keys, ({ inputs: [fresh] }) => {
      g.named(plain.keys, g.concat([plain.pastKeys, fresh!], 2));
      g.named(own.keys, g.transpose(plain.keys, [0, 1, 3, 2]));
    });
    cached.set(own.values, ({ inputs: [rows] }) => {
      g.named(plain.values, g.concat([plain.pastValues, g.transpose(rows!, [0, 2, 1, 3])], 2));
      g.named(own.values, plain.values);
    });
  }
  const dropped = new Set<Value>(Object.values(MASK_PARTS));
  const nodes: GraphNode[] = [];
  const take = (author: () => void): void => {
    const from = g.graph.nodes.length;
    author();
    nodes.push(...g.graph.nodes.slice(from));
  };
  const flat = `${LOGITS}/flat`;
  for (const node of graph.nodes) {
    const cache = cached.get(node.outputs[0]!);
    if (node.outputs.some((output) => dropped.has(output))) continue;
    if (cache) take(() => cache(node));
    else if (node.op === 'RotaryEmbedding') take(() => void g.named(node.outputs[0]!, rotated(node)));
    else if (node.outputs.includes(LOGITS)) {
      nodes.push({ ...node, outputs: node.outputs.map((output) => (output === LOGITS ? flat : output)) });
      take(() => void g.named(PLAIN.logits, g.reshape(flat, g.concat([shape, g.axes([V])], 0))));
    } else nodes.push(node);
  }

  /** Rotary positions in standard operators: (x1, x2, rest) -> (x1 cos - x2 sin, x2 cos + x1 sin, rest). */
  function rotated({ inputs: [x, , cos, sin], attributes }: GraphNode): Value {
    const dims = (attributes.rotary_embedding_dim as number | undefined) ?? headDim;
    const sizes = [dims / 2, dims / 2, ...(dims < headDim ? [headDim - dims] : [])];
    const [x1, x2, ...rest] = g.ops('Split', [x, g.axes(sizes)], sizes.length, { axis: 3 });
    const first = g.sub(g.mul(x1!, cos!), g.mul(x2!, sin!));
    const second = g.add(g.mul(x2!, cos!), g.mul(x1!, sin!));
    return g.concat([first, second, ...rest], 3);
  }

  const present: ValueInfo = {
    ...past,
    dims: ['batch_size', kvHeads, 'total_sequence_length', headDim],
  };
  const outputs = new Map<Value, ValueInfo>([
    [PLAIN.logits, { type: 'float32', dims: ['batch_size', 'sequence_length', V] }],
  ]);
  for (let layer = 0; layer < layers; layer++) {
    const { keys, values } = plainCacheNames(layer);
    outputs.set(keys, present);
    outputs.set(values, present);
  }
  const whole: Graph = {
    nodes: [...g.graph.nodes.slice(0, prelude), ...nodes],
    inputs: g.graph.inputs,
    initializers: new Map([...graph.initializers, ...g.graph.initializers]),
  };
  return { graph: cutGraph(whole, [...outputs.keys()]), outputs };
}
