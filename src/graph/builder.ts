/**
 * A typed author of ONNX graphs (opset 20). Every method adds one node and returns the name of its output.
 * Not here: shape inference; the engine does it when it loads the graph, and its errors name the node.
 */
import type {
  AttributeValue,
  ElementType,
  ExternalData,
  Graph,
  GraphNode,
  Initializer,
  Value,
  ValueInfo,
} from './types.ts';

/** Standard operators; 20 is the first with Gelu. */
export const OPSET = 20;

export type GraphBuilder = ReturnType<typeof createGraphBuilder>;

const asBytes = (array: Float32Array | Int32Array | BigInt64Array): Uint8Array =>
  new Uint8Array(array.buffer as ArrayBuffer, array.byteOffset, array.byteLength);

/**
 * Starts an empty graph.
 *
 * @param prefix of the names that it gives, where nodes will stand among those of another graph
 * @example
 * const g = createGraphBuilder();
 * const x = g.input('x', 'float32', ['B', 4]);
 * const w = g.float32([2, 4], new Float32Array(8));
 * g.named('y', g.gemm(x, w, undefined, { transB: true }));
 * const bytes = encodeModel(cutGraph(g.graph, ['y']), ['y']);
 *
 * @param prefix of the names that it makes: a branch may use no name of the graph around it
 */
export function createGraphBuilder(prefix = '') {
  const nodes: GraphNode[] = [];
  const inputs = new Map<Value, ValueInfo>();
  const initializers = new Map<Value, Initializer>();
  /** Index of the node that makes a value. */
  const producers = new Map<Value, number>();
  const scalars = new Map<string, Value>();
  let counter = 0;

  function claim(name: Value): Value {
    if (producers.has(name) || inputs.has(name) || initializers.has(name))
      throw new Error(`Graph value ${name} is defined twice`);
    return name;
  }

  function initializer(
    type: ElementType,
    dims: readonly number[],
    data: Uint8Array | ExternalData,
    name?: Value,
  ): Value {
    const value = claim(name ?? `${prefix}constant_${counter++}`);
    initializers.set(value, { type, dims, data });
    return value;
  }

  function ops(
    op: string,
    operands: readonly (Value | undefined)[],
    outputs: number,
    attributes: Readonly<Record<string, AttributeValue>> = {},
    domain = '',
  ): Value[] {
    const names = Array.from({ length: outputs }, () => claim(`${prefix}${op.toLowerCase()}_${counter++}`));
    // An omitted optional operand is an empty name; trailing ones are dropped.
    const filled = operands.map((operand) => operand ?? '');
    while (filled.at(-1) === '') filled.pop();
    for (const name of names) producers.set(name, nodes.length);
    nodes.push({ op, domain, inputs: filled, outputs: names, attributes });
    return names;
  }

  const op = (
    type: string,
    operands: readonly (Value | undefined)[],
    attributes?: Readonly<Record<string, AttributeValue>>,
    domain?: string,
  ): Value => ops(type, operands, 1, attributes, domain)[0]!;

  const float32 = (dims: readonly number[], data: Float32Array): Value =>
    initializer('float32', dims, asBytes(data));
  const int64 = (values: readonly number[], dims: readonly number[] = [values.length]): Value =>
    initializer('int64', dims, asBytes(BigInt64Array.from(values, BigInt)));

  /** A float scalar; equal ones are shared. */
  function scalar(value: number): Value {
    const key = `f${value}`;
    const known = scalars.get(key) ?? float32([], Float32Array.of(value));
    scalars.set(key, known);
    return known;
  }

  /** An int32 scalar. */
  const int32 = (value: number): Value => initializer('int32', [], asBytes(Int32Array.of(value)));

  /** A uint8 scalar. */
  const uint8 = (value: number): Value => initializer('uint8', [], Uint8Array.of(value));

  /** A one-dimensional int64 constant for shapes and axes; equal ones are shared. */
  function axes(values: readonly number[]): Value {
    const key = `i${values.join()}`;
    const known = scalars.get(key) ?? int64(values);
    scalars.set(key, known);
    return known;
  }

  /**
   * Gives a value the name by which it can be fetched, replaced or spliced. A value that has such a name already gets
   * a second one through Identity, which the engine removes when nobody asks for it.
   */
  function named(name: Value, value: Value): Value {
    const at = producers.get(value);
    if (at === undefined || publicNames.has(value)) return named(name, op('Identity', [value]));
    const node = nodes[at]!;
    claim(name);
    nodes[at] = { ...node, outputs: node.outputs.map((output) => (output === value ? name : output)) };
    producers.delete(value);
    producers.set(name, at);
    publicNames.add(name);
    return name;
  }
  const publicNames = new Set<Value>();

  return {
    /** The graph so far; later additions show in it. */
    graph: { nodes, inputs, initializers } as Graph,
    input(name: Value, type: ElementType, dims: readonly (number | string)[]): Value {
      inputs.set(claim(name), { type, dims });
      return name;
    },
    /** A tensor whose bytes stay in a weight file. */
    external: (name: Value, type: ElementType, dims: readonly number[], data: ExternalData): Value =>
      initializer(type, dims, data, name),
    float32,
    int32,
    uint8,
    int64,
    scalar,
    axes,
    named,
    /** Any operator, for what has no method of its own. */
    op,
    ops,
    add: (a: Value, b: Value): Value => op('Add', [a, b]),
    sub: (a: Value, b: Value): Value => op('Sub', [a, b]),
    mul: (a: Value, b: Value): Value => op('Mul', [a, b]),
    div: (a: Value, b: Value): Value => op('Div', [a, b]),
    matMul: (a: Value, b: Value): Value => op('MatMul', [a, b]),
    /** a [M,K] times b [K,N], or [N,K] with transB, plus c [N]. */
    gemm: (a: Value, b: Value, c?: Value, { transB = false }: { transB?: boolean } = {}): Value =>
      op('Gemm', [a, b, c], transB ? { transB: 1 } : {}),
    /** Over the last axis. */
    softmax: (x: Value): Value => op('Softmax', [x], { axis: -1 }),
    logSoftmax: (x: Value): Value => op('LogSoftmax', [x], { axis: -1 }),
    layerNormalization: (x: Value, scale: Value, bias: Value, epsilon: number): Value =>
      op('LayerNormalization', [x, scale, bias], { axis: -1, epsilon: { float: epsilon } }),
    /**
     * The same in the pattern that the engine fuses into one kernel, so that x before gain and shift can have a name: it is computed
     * by itself only where somebody asks for it.
     */
    namedLayerNormalization(x: Value, scale: Value, bias: Value, epsilon: number, name: Value): Value {
      const mean = (y: Value) => op('ReduceMean', [y, axes([-1])], { keepdims: 1 });
      const centred = op('Sub', [x, mean(x)]);
      const variance = mean(op('Pow', [centred, scalar(2)]));
      const deviation = op('Sqrt', [op('Add', [variance, scalar(epsilon)])]);
      const normalized = named(name, op('Div', [centred, deviation]));
      return op('Add', [op('Mul', [normalized, scale]), bias]);
    },
    /**
     * x / sqrt(mean(x^2) + epsilon) * scale over the last axis, in the pattern that the engine fuses into one kernel; x before the gain
     * can have a name.
     */
    rmsNormalization(x: Value, scale: Value, epsilon: number, name?: Value): Value {
      const meanSquare = op('ReduceMean', [op('Pow', [x, scalar(2)]), axes([-1])], { keepdims: 1 });
      const rms = op('Sqrt', [op('Add', [meanSquare, scalar(epsilon)])]);
      const normalized = op('Div', [x, rms]);
      return op('Mul', [name === undefined ? normalized : named(name, normalized), scale]);
    },
    gather: (table: Value, indices: Value, axis = 0): Value => op('Gather', [table, indices], { axis }),
    gatherElements: (x: Value, indices: Value, axis: number): Value =>
      op('GatherElements', [x, indices], { axis }),
    transpose: (x: Value, perm: readonly number[]): Value => op('Transpose', [x], { perm }),
    /** `shape` as numbers (0 copies a dimension, -1 is inferred) or as an int64 value. */
    reshape: (x: Value, shape: Value | readonly number[]): Value =>
      op('Reshape', [x, typeof shape === 'string' ? shape : axes(shape)]),
    unsqueeze: (x: Value, at: readonly number[]): Value => op('Unsqueeze', [x, axes(at)]),
    squeeze: (x: Value, at: readonly number[]): Value => op('Squeeze', [x, axes(at)]),
    concat: (values: readonly Value[], axis: number): Value => op('Concat', values, { axis }),
    slice: (x: Value, start: number, end: number, axis: number, step = 1): Value =>
      op('Slice', [x, axes([start]), axes([end]), axes([axis]), axes([step])]),
    /** Equal parts along an axis. */
    split: (x: Value, parts: number, axis: number): Value[] =>
      ops('Split', [x], parts, { axis, num_outputs: parts }),
    cast: (x: Value, to: number): Value => op('Cast', [x], { to }),
    where: (condition: Value, a: Value, b: Value): Value => op('Where', [condition, a, b]),
    /** The k largest along the last axis, largest first; k is an int64 [1] value or a number. */
    topK(
      x: Value,
      k: Value | number,
      { sorted = true }: { sorted?: boolean } = {},
    ): { values: Value; indices: Value } {
      const [values, indices] = ops('TopK', [x, typeof k === 'string' ? k : axes([k])], 2, {
        axis: -1,
        sorted: sorted ? 1 : 0,
      });
      return { values: values!, indices: indices! };
    },
    reduceSum: (x: Value, axis: number, keepdims = false): Value =>
      op('ReduceSum', [x, axes([axis])], { keepdims: keepdims ? 1 : 0 }),
    relu: (x: Value): Value => op('Relu', [x]),
    sigmoid: (x: Value): Value => op('Sigmoid', [x]),
    exp: (x: Value): Value => op('Exp', [x]),
    /** 'none' is x Phi(x); 'tanh' the approximation that GPT-2 was trained with. */
    gelu: (x: Value, approximate: 'none' | 'tanh'): Value => op('Gelu', [x], { approximate }),
  };
}
