/**
 * The bytes of an ONNX file as a graph: what `encodeModel` writes, and what any exporter does. Everything that the rest of this project
 * relies on is checked here (every value is made once, nodes stand in order, tensors have the size of their dimensions), so that a
 * corrupt file ends in a sentence.
 *
 * Two things are rewritten, neither changes a number but by rounding:
 * - an `If` whose condition is known (merged decoders: `use_cache_branch`) gives way to the nodes of its branch;
 * - Skip[Simplified]LayerNormalization becomes the Add and the norm that it fuses, so that the residual stream is a value of the graph.
 */
import onnxProto, { type onnx as Onnx } from 'onnx-proto';
import { sortNodes } from './sort.ts';
import {
  type ElementType,
  type ExternalData,
  type Graph,
  type GraphNode,
  type Initializer,
  ONNX_TYPES,
  type Value,
  type ValueInfo,
} from './types.ts';

const { onnx } = onnxProto;

const MAX_RANK = 16;
const MAX_NODES = 1_000_000;

const TYPE_NAMES = new Map<number, ElementType>(
  Object.entries(ONNX_TYPES).map(([name, code]) => [code, name as ElementType]),
);

/** Bits of one element; strings have none. */
const BITS: Readonly<Partial<Record<ElementType, number>>> = {
  float32: 32,
  uint8: 8,
  int8: 8,
  uint16: 16,
  int16: 16,
  int32: 32,
  int64: 64,
  bool: 8,
  float16: 16,
  float64: 64,
  uint32: 32,
  uint64: 64,
  complex64: 64,
  complex128: 128,
  bfloat16: 16,
  float8e4m3fn: 8,
  float8e4m3fnuz: 8,
  float8e5m2: 8,
  float8e5m2fnuz: 8,
  uint4: 4,
  int4: 4,
};

export type OnnxModel = {
  readonly graph: Graph;
  /** In the file's order. */
  readonly outputs: readonly Value[];
  /** Types and shapes that the file states, of inputs, outputs and values between. A dimension of no name is '?'. */
  readonly stated: ReadonlyMap<Value, ValueInfo>;
  /** Weight files by index, relative to the file; '' is the file itself. */
  readonly files: readonly string[];
  readonly producer: string;
};

export type DecodeOptions = {
  /** Boolean inputs whose value is known; they choose the branches of `If`. */
  readonly known?: ReadonlyMap<Value, boolean>;
  /** For messages. */
  readonly name?: string;
};

type Scope = {
  readonly nodes: GraphNode[];
  readonly initializers: Map<Value, Initializer>;
  readonly known: Map<Value, boolean>;
};

/**
 * Reads a model as `readSkeleton` returns it, or any ONNX bytes with small tensors.
 *
 * @throws when the bytes are no ONNX model, or contradict themselves; the message names the place
 */
export function decodeModel(
  bytes: Uint8Array,
  { known, name = 'the ONNX file' }: DecodeOptions = {},
): OnnxModel {
  const fail = (what: string): Error => new Error(`${name}: ${what}`);
  const model = parse(bytes, fail);
  const proto = model.graph;
  if (!proto || (proto.node ?? []).length === 0)
    throw fail('it holds no graph with nodes; expected an ONNX model');
  const files: string[] = [];
  let hoisted = 0;
  const scope: Scope = { nodes: [], initializers: new Map(), known: new Map(known) };

  function toInitializer(tensor: Onnx.ITensorProto): Initializer | undefined {
    const type = TYPE_NAMES.get(tensor.dataType ?? 0);
    const label = `tensor ${JSON.stringify(tensor.name ?? '')}`;
    if (!type) throw fail(`${label} has element type ${tensor.dataType}, which is not known`);
    const dims = (tensor.dims ?? []).map(Number);
    if (dims.length > MAX_RANK || dims.some((n) => !Number.isSafeInteger(n) || n < 0))
      throw fail(`${label} has dimensions [${dims.slice(0, MAX_RANK).join(', ')}]`);
    const bytesNeeded = Math.ceil((dims.reduce((a, b) => a * b, 1) * (BITS[type] ?? 0)) / 8);
    const check = (length: number): void => {
      if (BITS[type] !== undefined && length !== bytesNeeded)
        throw fail(`${label} is ${type} [${dims.join(', ')}], ${bytesNeeded} bytes, and has ${length}`);
    };
    if (tensor.dataLocation === onnx.TensorProto.DataLocation.EXTERNAL) {
      const data = place(tensor, bytesNeeded, label);
      check(data.length);
      return { type, dims, data };
    }
    const raw = tensor.rawData;
    if (!raw || raw.length === 0) return undefined;
    check(raw.length);
    return { type, dims, data: raw };
  }

  function place(tensor: Onnx.ITensorProto, needed: number, label: string): ExternalData {
    const entries = new Map((tensor.externalData ?? []).map(({ key, value }) => [key, value ?? '']));
    const location = (entries.get('location') ?? '').replace(/^\.\//, '');
    if (/^[/\\]|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)|\0/.test(location))
      throw fail(
        `${label} lies in ${JSON.stringify(location)}; weight files are read only from the model's own folder`,
      );
    const offset = Number(entries.get('offset') ?? 0);
    const length = Number(entries.get('length') ?? needed);
    if (!Number.isSafeInteger(offset) || offset < 0 || !Number.isSafeInteger(length) || length < 0)
      throw fail(`${label} lies at offset ${entries.get('offset')} with length ${entries.get('length')}`);
    if (!files.includes(location)) files.push(location);
    return { file: files.indexOf(location), offset, length };
  }

  function addTensor(value: Value, tensor: Onnx.ITensorProto): void {
    const initializer = toInitializer(tensor);
    if (initializer) {
      if (scope.initializers.has(value)) throw fail(`tensor ${JSON.stringify(value)} is defined twice`);
      scope.initializers.set(value, initializer);
      const { type, data } = initializer;
      if (type === 'bool' && data instanceof Uint8Array && data.length === 1)
        scope.known.set(value, data[0] !== 0);
      return;
    }
    // Strings, and numbers in the typed fields: passed on as they are.
    const { AttributeType } = onnx.AttributeProto;
    const raw = { name: 'value', type: AttributeType.TENSOR, t: { ...tensor, name: '' } };
    push({ op: 'Constant', domain: '', inputs: [], outputs: [value], attributes: { value: { raw } } });
  }

  function push(node: GraphNode): void {
    scope.nodes.push(node);
    if (scope.nodes.length > MAX_NODES) throw fail(`it has more than ${MAX_NODES} nodes`);
  }

  function addGraph({ node, initializer }: Onnx.IGraphProto, depth: number): void {
    if (depth > 16) throw fail('branches are nested more than 16 deep');
    for (const tensor of initializer ?? []) addTensor(tensor.name ?? '', tensor);
    for (const one of node ?? []) addNode(one, depth);
  }

  function addNode(proto: Onnx.INodeProto, depth: number): void {
    const op = proto.opType ?? '';
    const domain = proto.domain === 'ai.onnx' ? '' : (proto.domain ?? '');
    const inputs = proto.input ?? [];
    const outputs = proto.output ?? [];
    const list = proto.attribute ?? [];
    if (op === 'Constant' && list[0]?.t && outputs[0]) {
      addTensor(outputs[0], list[0].t);
      return;
    }
    const condition = op === 'If' && domain === '' ? scope.known.get(inputs[0] ?? '') : undefined;
    if (condition !== undefined) {
      const branch = list.find((a) => a.name === (condition ? 'then_branch' : 'else_branch'))?.g;
      const results = branch?.output ?? [];
      if (!branch || results.length !== outputs.length)
        throw fail(
          `the If that makes ${outputs[0]} has a branch with ${results.length} outputs, expected ${outputs.length}`,
        );
      addGraph(branch, depth + 1);
      outputs.forEach((output, i) => {
        const inner = results[i]?.name ?? '';
        if (inner !== output)
          push({ op: 'Identity', domain: '', inputs: [inner], outputs: [output], attributes: {} });
      });
      return;
    }
    if (op === 'Identity' && scope.known.has(inputs[0] ?? ''))
      scope.known.set(outputs[0] ?? '', scope.known.get(inputs[0]!)!);
    const inside = list.map((raw) => ({
      ...raw,
      ...(raw.g ? { g: hoist(raw.g) } : {}),
      ...(raw.graphs?.length ? { graphs: raw.graphs.map((g) => hoist(g)) } : {}),
    }));
    const reads = inside.flatMap(({ g, graphs }) =>
      [...(g ? [g] : []), ...(graphs ?? [])].flatMap(outerReads),
    );
    const attributes = Object.fromEntries(inside.map((raw) => [raw.name ?? '', { raw }]));
    for (const node of splitSkipNorm({ op, domain, inputs, outputs, attributes }))
      push({ ...node, ...(reads.length > 0 ? { reads } : {}) });
  }

  /** A branch whose weights in files are moved to the graph around it: only there their places are known. */
  function hoist(graph: Onnx.IGraphProto, outer: ReadonlyMap<Value, Value> = new Map()): Onnx.IGraphProto {
    const names = new Map(outer);
    const nodes: Onnx.INodeProto[] = [];
    const results = new Set((graph.output ?? []).map(({ name: result }) => result));
    const isOutside = (tensor: Onnx.ITensorProto | null | undefined): tensor is Onnx.ITensorProto =>
      tensor?.dataLocation === onnx.TensorProto.DataLocation.EXTERNAL;
    const move = (value: Value, tensor: Onnx.ITensorProto): void => {
      const moved = `branch/${hoisted++}/${value}`;
      addTensor(moved, tensor);
      // A branch returns only what it makes itself.
      if (results.has(value)) nodes.push({ opType: 'Identity', input: [moved], output: [value] });
      else names.set(value, moved);
    };
    const initializer = (graph.initializer ?? []).filter((tensor) => {
      if (isOutside(tensor)) move(tensor.name ?? '', tensor);
      return !isOutside(tensor);
    });
    for (const node of graph.node ?? []) {
      const constant = node.opType === 'Constant' ? node.attribute?.[0]?.t : undefined;
      if (isOutside(constant)) move(node.output?.[0] ?? '', constant);
      else
        nodes.push({
          ...node,
          input: (node.input ?? []).map((value) => names.get(value) ?? value),
          attribute: (node.attribute ?? []).map((raw) => ({
            ...raw,
            ...(raw.g ? { g: hoist(raw.g, names) } : {}),
            ...(raw.graphs?.length ? { graphs: raw.graphs.map((g) => hoist(g, names)) } : {}),
          })),
        });
    }
    return { ...graph, initializer, node: nodes };
  }

  addGraph(proto, 0);
  const stated = new Map<Value, ValueInfo>();
  for (const info of [...(proto.input ?? []), ...(proto.output ?? []), ...(proto.valueInfo ?? [])]) {
    const type = TYPE_NAMES.get(info.type?.tensorType?.elemType ?? 0);
    const dim = info.type?.tensorType?.shape?.dim;
    if (!type || !info.name) continue;
    const dims = (dim ?? [])
      .slice(0, MAX_RANK)
      .map((d) => (d.dimValue ? Number(d.dimValue) : d.dimParam || '?'));
    stated.set(info.name, { type, dims });
  }
  const inputs = new Map<Value, ValueInfo>();
  for (const { name: input = '' } of proto.input ?? []) {
    // Files of the first years list their weights as inputs, too.
    const info = input ? stated.get(input) : undefined;
    if (input && info && !scope.initializers.has(input)) inputs.set(input, info);
    else if (input && !info) throw fail(`input ${input} is no tensor of a known type`);
  }
  const outputs = (proto.output ?? []).map((output) => output.name ?? '');
  const nodes = sortNodes(scope.nodes, [...inputs.keys(), ...scope.initializers.keys()], name);
  const made = new Set([
    ...nodes.flatMap((node) => node.outputs),
    ...inputs.keys(),
    ...scope.initializers.keys(),
  ]);
  for (const output of outputs)
    if (!made.has(output)) throw fail(`output ${JSON.stringify(output)} is made by no node`);
  return {
    graph: {
      nodes,
      inputs,
      initializers: scope.initializers,
      dialect: {
        irVersion: Number(model.irVersion ?? 0),
        opsets: new Map(
          (model.opsetImport ?? []).map((one) => [
            one.domain === 'ai.onnx' ? '' : (one.domain ?? ''),
            Number(one.version ?? 1),
          ]),
        ),
        functions: model.functions ?? [],
      },
    },
    outputs,
    stated,
    files,
    producer: [model.producerName, model.producerVersion].filter(Boolean).join(' '),
  };
}

function parse(bytes: Uint8Array, fail: (what: string) => Error): Onnx.IModelProto {
  try {
    return onnx.ModelProto.decode(bytes);
  } catch (error) {
    throw fail(`it is no ONNX model (${(error as Error).message})`);
  }
}

/** Values that a subgraph reads and does not make. */
function outerReads(graph: Onnx.IGraphProto): Value[] {
  const inner = new Set<Value>([
    ...(graph.input ?? []).map((one) => one.name ?? ''),
    ...(graph.initializer ?? []).map((one) => one.name ?? ''),
    ...(graph.node ?? []).flatMap((node) => node.output ?? []),
  ]);
  const read = new Set<Value>((graph.output ?? []).map((one) => one.name ?? ''));
  for (const node of graph.node ?? []) {
    for (const input of node.input ?? []) read.add(input);
    for (const { g, graphs } of node.attribute ?? [])
      for (const sub of [...(g ? [g] : []), ...(graphs ?? [])])
        for (const value of outerReads(sub)) read.add(value);
  }
  return [...read].filter((value) => value !== '' && !inner.has(value));
}

/** (input, skip, scale, [shift,] [bias]) -> (norm, mean, deviation, sum): the sum as a value of its own. */
function splitSkipNorm(node: GraphNode): GraphNode[] {
  const simplified = node.op === 'SkipSimplifiedLayerNormalization';
  if (node.domain !== 'com.microsoft' || !(simplified || node.op === 'SkipLayerNormalization')) return [node];
  const [x = '', skip = '', scale = '', ...rest] = node.inputs;
  const [shift, bias] = simplified ? ['', rest[0] ?? ''] : [rest[0] ?? '', rest[1] ?? ''];
  const [norm = '', mean = '', deviation = '', sum = `${norm}/sum`] = node.outputs;
  const total = sum || `${norm}/sum`;
  const add = (a: Value, b: Value, to: Value): GraphNode => ({
    ...{ op: 'Add', domain: '', inputs: [a, b], outputs: [to], attributes: {} },
  });
  const adds = bias
    ? [add(x, bias, `${total}/biased`), add(`${total}/biased`, skip, total)]
    : [add(x, skip, total)];
  const { epsilon } = node.attributes;
  return [
    ...adds,
    {
      op: simplified ? 'SimplifiedLayerNormalization' : 'LayerNormalization',
      domain: '',
      inputs: shift ? [total, scale, shift] : [total, scale],
      outputs: deviation || mean ? [norm, mean, deviation] : [norm],
      attributes: { axis: -1, ...(epsilon ? { epsilon } : {}) },
    },
  ];
}
