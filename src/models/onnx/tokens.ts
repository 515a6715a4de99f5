/**
 * The inputs of a language model that somebody exported, made from ours: token ids, mask and positions go in as in our own graphs, and
 * nodes put in front make of them what the file asks for.
 *
 *     input_ids = ids        attention_mask = mask on [B,T]       position_ids = positions       token_type_ids = 0
 *     past_key_values.L.key [B,H,0,d]: an empty cache            use_cache_branch = false (its If was resolved when reading)
 */
import onnxProto from 'onnx-proto';
import {
  type Graph,
  type GraphNode,
  ONNX_TYPES,
  STEER_DIRECTIONS,
  STEER_STRENGTHS,
  type Value,
  type ValueInfo,
} from '../../graph/index.ts';
import { INPUTS, LOGITS, LOSS } from '../families/blocks.ts';
import { node } from './values.ts';

/** Inputs that choose how an export runs, with the value that makes it read a whole sequence at once. */
export const KNOWN_SWITCHES: ReadonlyMap<Value, boolean> = new Map([['use_cache_branch', false]]);

/** Names of values of our own; those of a file that are called so get another name first. */
export const RESERVED: readonly string[] = [
  ...Object.values(INPUTS),
  LOGITS,
  LOSS,
  STEER_STRENGTHS,
  STEER_DIRECTIONS,
];

const IDS = /^(file\/)?(input_ids|inputs?|tokens?|token_ids|ids)$/;
const PAST = /^past|^(key|value)_cache|\bcache\b/i;

const isInteger = ({ type }: ValueInfo): boolean => type === 'int64' || type === 'int32';

/** The input that takes token ids, where there is one. */
export function idsInput(graph: Graph): Value | undefined {
  const integers = [...graph.inputs].filter(([, info]) => isInteger(info));
  return (integers.find(([name]) => name === 'input_ids') ?? integers.find(([name]) => IDS.test(name)))?.[0];
}

function constant(
  value: Value,
  type: 'int64' | 'float32' | 'float16',
  numbers: readonly number[],
): GraphNode {
  const { AttributeType } = onnxProto.onnx.AttributeProto;
  const raw =
    type === 'int64'
      ? new Uint8Array(BigInt64Array.from(numbers, BigInt).buffer)
      : new Uint8Array(numbers.length * (type === 'float16' ? 2 : 4));
  const t = { dims: [numbers.length], dataType: ONNX_TYPES[type], rawData: raw };
  return node('Constant', [], value, { value: { raw: { name: 'value', type: AttributeType.TENSOR, t } } });
}

/** [B,H,0,d] of zeros in the type of the cache. */
function emptyCache(name: Value, { type, dims }: ValueInfo, shape: Value): GraphNode[] {
  if (type !== 'float32' && type !== 'float16')
    throw new Error(`The cache ${name} is ${type}; caches of float32 and float16 are fed`);
  const batch =
    typeof dims[0] === 'number'
      ? []
      : [node('Gather', [shape, `${name}/first`], `${name}/batch`), constant(`${name}/first`, 'int64', [0])];
  const sizes = dims.map((d) => (typeof d === 'number' ? d : 0));
  const rest = constant(`${name}/rest`, 'int64', batch.length > 0 ? sizes.slice(1) : sizes);
  const whole =
    batch.length > 0
      ? [
          ...batch.toReversed(),
          node('Concat', [`${name}/batch`, `${name}/rest`], `${name}/shape`, { axis: 0 }),
        ]
      : [];
  const zero = constant('', type, [0]).attributes.value!;
  return [
    rest,
    ...whole,
    node('ConstantOfShape', [batch.length > 0 ? `${name}/shape` : `${name}/rest`], name, { value: zero }),
  ];
}

/**
 * The graph with our inputs.
 *
 * @throws for an input that cannot be made from tokens; names it and says what to do
 */
export function withTokenInputs(graph: Graph, ids: Value): Graph {
  const stated = graph.inputs.get(ids)?.dims ?? [];
  if (stated.some((d) => typeof d === 'number'))
    throw new Error(
      `it was exported for ${ids} of the shape [${stated.join(', ')}] only; export it with dynamic axes for batch and sequence`,
    );
  const shape = `${INPUTS.ids}/shape`;
  const made: GraphNode[] = [node('Shape', [INPUTS.ids], shape)];
  const unknown: string[] = [];
  const cast = (from: Value, name: Value, { type }: ValueInfo) =>
    made.push(node('Cast', [from], name, { to: ONNX_TYPES[type] }));
  for (const [name, info] of graph.inputs) {
    const rank = info.dims.length;
    if (name === ids) cast(INPUTS.ids, name, info);
    else if (/^attention_mask$/.test(name) && rank === 2) {
      made.push(node('Expand', [INPUTS.mask, shape], `${name}/expanded`));
      cast(`${name}/expanded`, name, info);
    } else if (/^(position_ids|positions|file\/positions|cache_position)$/.test(name))
      cast(rank === 1 ? INPUTS.index : INPUTS.positions, name, info);
    else if (/^(token_type_ids|segment_ids)$/.test(name)) {
      made.push(node('Sub', [INPUTS.ids, INPUTS.ids], `${name}/zero`));
      cast(`${name}/zero`, name, info);
    } else if (PAST.test(name) && rank >= 3) made.push(...emptyCache(name, info, shape));
    else if (/^(num_)?logits_to_keep$/.test(name) && isInteger(info)) {
      // 0 keeps them all.
      made.push(
        constant(`${name}/0`, 'int64', [0]),
        node('Reshape', [`${name}/0`, `${name}/rank`], `${name}/scalar`),
      );
      made.splice(-1, 0, constant(`${name}/rank`, 'int64', rank === 0 ? [] : [1]));
      cast(`${name}/scalar`, name, info);
    } else if (!KNOWN_SWITCHES.has(name)) unknown.push(`${name} ${info.type} [${info.dims.join(', ')}]`);
  }
  if (unknown.length > 0)
    throw new Error(
      `it needs inputs that text does not give: ${unknown.join('; ')}. Run it with openOnnx, which takes any inputs`,
    );
  return {
    ...graph,
    nodes: [...made, ...graph.nodes],
    inputs: new Map<Value, ValueInfo>([
      [INPUTS.ids, { type: 'int32', dims: ['B', 'T'] }],
      [INPUTS.mask, { type: 'bool', dims: ['M', 'T'] }],
      [INPUTS.index, { type: 'int32', dims: ['T'] }],
      [INPUTS.positions, { type: 'int32', dims: ['B', 'T'] }],
      [INPUTS.targets, { type: 'int32', dims: ['N', 1] }],
    ]),
  };
}

/**
 * Shapes taken from the ids: exports ask values for their shape that lie far away (GPT-2's last reshape asks the embeddings), and a graph
 * that is cut in between, at the head or at a hook, should not have to compute those. Where the dimensions were measured, Shape becomes
 * [B, T, …] put together from the shape of the ids.
 */
export function withShapesOfIds(
  graph: Graph,
  dimsOf: (value: Value) => readonly string[] | undefined,
): Graph {
  const shape = `${INPUTS.ids}/shape`;
  const sizes = ['B', 'T'].flatMap((letter, axis) => [
    constant(`${shape}/${axis}`, 'int64', [axis]),
    node('Gather', [shape, `${shape}/${axis}`], `${INPUTS.ids}/${letter}`),
  ]);
  const rows = node('Mul', [`${INPUTS.ids}/B`, `${INPUTS.ids}/T`], `${INPUTS.ids}/N`);
  const nodes = graph.nodes.flatMap((one): GraphNode[] => {
    const dims = one.op === 'Shape' ? dimsOf(one.inputs[0]!) : undefined;
    const [output = ''] = one.outputs;
    if (output === shape) return [one, ...sizes, rows];
    if (!dims || dims.includes('?')) return [one];
    const attribute = (name: string): number | undefined => {
      const found = one.attributes[name];
      return typeof found === 'object' && 'raw' in found ? Number(found.raw.i ?? 0) : undefined;
    };
    const kept = dims.slice(attribute('start') ?? 0, attribute('end') ?? dims.length);
    if (kept.length === 0) return [one];
    const parts = kept.map((dim, i) =>
      /^\d/.test(dim) ? constant(`${output}/${i}`, 'int64', [Number(dim)]) : `${INPUTS.ids}/${dim}`,
    );
    const made = parts.filter((part) => typeof part !== 'string');
    const names = parts.map((part) => (typeof part === 'string' ? part : part.outputs[0]!));
    return [...made, node('Concat', names, output, { axis: 0 })];
  });
  return { ...graph, nodes };
}

/** Adds `logits` and `loss` [N,1], the loss of every row, behind the value that holds the logits [B,T,V]. */
export function withHead(graph: Graph, logits: Value, V: number): Graph {
  const rows = `${LOGITS}/rows`;
  return {
    ...graph,
    nodes: [
      ...graph.nodes,
      node('Cast', [logits], LOGITS, { to: ONNX_TYPES.float32 }),
      constant(`${rows}/shape`, 'int64', [-1, V]),
      node('Reshape', [LOGITS, `${rows}/shape`], rows),
      node('LogSoftmax', [rows], `${rows}/log`, { axis: 1 }),
      node('GatherElements', [`${rows}/log`, INPUTS.targets], `${LOSS}/plus`, { axis: 1 }),
      node('Neg', [`${LOSS}/plus`], LOSS),
    ],
  };
}

/**
 * What the token ids are first turned into: the output of the look-up in an embedding table, and the table's rows, the vocabulary.
 * Look-ups in quantised tables are followed by what turns them into numbers.
 */
export function embedding(graph: Graph, ids: Value): { value: Value; table: Value } | undefined {
  const same = new Set<Value>([ids]);
  for (const one of graph.nodes) {
    if (/^(Cast|Identity|Reshape|Unsqueeze|Squeeze|Flatten)$/.test(one.op) && same.has(one.inputs[0] ?? ''))
      same.add(one.outputs[0]!);
    // Fused by ONNX Runtime's optimizer: (ids, token types, table, …).
    if (one.op === 'EmbedLayerNormalization' && same.has(one.inputs[0] ?? ''))
      return { value: one.outputs[0]!, table: one.inputs[2]! };
    if (!/^Gather/.test(one.op)) continue;
    const index = one.inputs.findIndex((value) => same.has(value));
    if (index > 0) return { value: one.outputs[0]!, table: one.inputs[0]! };
  }
  return undefined;
}
