/** A graph as the bytes of an ONNX file. Weights stay outside, named by file and byte offset. */
import onnxProto, { type onnx as Onnx } from 'onnx-proto';
import { OPSET } from './builder.ts';
import {
  type AttributeValue,
  type ExternalData,
  type Graph,
  type GraphNode,
  type Initializer,
  ONNX_TYPES,
  type Value,
  type ValueInfo,
} from './types.ts';

const { onnx } = onnxProto;

/** The IR version that goes with opset 20. */
const IR_VERSION = 9;

const isExternal = (data: Uint8Array | ExternalData): data is ExternalData => !(data instanceof Uint8Array);

function encodeAttribute(name: string, value: AttributeValue): Onnx.IAttributeProto {
  const { AttributeType } = onnx.AttributeProto;
  if (typeof value === 'string')
    return { name, type: AttributeType.STRING, s: new TextEncoder().encode(value) };
  if (typeof value === 'number') return { name, type: AttributeType.INT, i: value };
  if ('raw' in value) return { ...value.raw, name } as Onnx.IAttributeProto;
  if ('float' in value) return { name, type: AttributeType.FLOAT, f: value.float };
  if ('branch' in value)
    return {
      name,
      type: AttributeType.GRAPH,
      g: {
        name,
        node: value.branch.nodes.map(encodeNode),
        initializer: [...value.branch.initializers].map((one) => encodeInitializer(one)),
        output: value.outputs.map((output) => ({ name: output })),
      },
    };
  return { name, type: AttributeType.INTS, ints: [...value] };
}

const encodeNode = (node: GraphNode): Onnx.INodeProto => ({
  opType: node.op,
  domain: node.domain,
  // The first output's name also names the node, so that the engine's errors point at something.
  name: node.outputs[0] ?? node.op,
  input: [...node.inputs],
  output: [...node.outputs],
  attribute: Object.entries(node.attributes).map(([name, value]) => encodeAttribute(name, value)),
});

function encodeInitializer(
  [name, { type, dims, data }]: readonly [Value, Initializer],
  files: readonly string[] = [],
): Onnx.ITensorProto {
  const tensor = { name, dataType: ONNX_TYPES[type], dims: [...dims] };
  if (!isExternal(data)) return { ...tensor, rawData: data };
  const location = files[data.file];
  if (location === undefined)
    throw new Error(
      `Initialiser ${name} lies in weight file ${data.file}, and only ${files.length} were given`,
    );
  return {
    ...tensor,
    dataLocation: onnx.TensorProto.DataLocation.EXTERNAL,
    externalData: [
      { key: 'location', value: location },
      { key: 'offset', value: String(data.offset) },
      { key: 'length', value: String(data.length) },
    ],
  };
}

const encodeValueInfo = (name: Value, { type, dims }: ValueInfo) => ({
  name,
  type: {
    tensorType: {
      elemType: ONNX_TYPES[type],
      shape: { dim: dims.map((dim) => (typeof dim === 'number' ? { dimValue: dim } : { dimParam: dim })) },
    },
  },
});

/**
 * Serializes a graph.
 *
 * @param outputs values to return; element type float32 unless `outputTypes` says otherwise, shapes are left to the engine where it has none
 * @param files how each weight file is called in the graph, by index: the `location` that the engine looks up
 * @param kept initialisers that are declared as inputs with a default too: those the engine leaves as they lie, in no layout of its own
 */
export function encodeModel(
  graph: Graph,
  outputs: readonly Value[],
  files: readonly string[] = [],
  outputTypes: ReadonlyMap<Value, ValueInfo['type'] | ValueInfo> = new Map(),
  kept: readonly Value[] = [],
): Uint8Array {
  const domains = new Set([
    ...(graph.dialect?.opsets.keys() ?? []),
    ...graph.nodes.map((node) => node.domain),
  ]);
  domains.add('');
  return onnx.ModelProto.encode({
    irVersion: Math.max(IR_VERSION, graph.dialect?.irVersion ?? 0),
    producerName: 'saekit',
    opsetImport: [...domains].map((domain) => ({
      domain,
      version: graph.dialect?.opsets.get(domain) ?? (domain === '' ? OPSET : 1),
    })),
    functions: [...(graph.dialect?.functions ?? [])],
    graph: {
      name: 'saekit',
      node: graph.nodes.map(encodeNode),
      input: [
        ...graph.inputs,
        ...kept.map((name): [Value, ValueInfo] => [name, graph.initializers.get(name)!]),
      ].map(([name, info]) => encodeValueInfo(name, info)),
      output: outputs.map((name) => {
        // What a file of others computes has the type that the engine finds.
        const type = outputTypes.get(name) ?? (graph.dialect ? undefined : 'float32');
        if (typeof type === 'object') return encodeValueInfo(name, type);
        return type ? { name, type: { tensorType: { elemType: ONNX_TYPES[type] } } } : { name };
      }),
      initializer: [...graph.initializers].map((one) => encodeInitializer(one, files)),
    },
  }).finish();
}
