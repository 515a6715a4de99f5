/** A graph as plain data. A value is named by a string, as in ONNX; nodes stand in topological order. */

export type Value = string;

/** Element types with their ONNX numbers (TensorProto.DataType). Graphs of our own use few; files of others bring the rest. */
export const ONNX_TYPES = {
  float32: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  string: 8,
  bool: 9,
  float16: 10,
  float64: 11,
  uint32: 12,
  uint64: 13,
  complex64: 14,
  complex128: 15,
  bfloat16: 16,
  float8e4m3fn: 17,
  float8e4m3fnuz: 18,
  float8e5m2: 19,
  float8e5m2fnuz: 20,
  uint4: 21,
  int4: 22,
} as const;

export type ElementType = keyof typeof ONNX_TYPES;

/** An AttributeProto of ONNX; those of its fields that are looked at or made here. */
export type RawAttribute = {
  readonly name?: unknown;
  readonly type?: unknown;
  readonly i?: unknown;
  readonly t?: unknown;
};

export type AttributeValue =
  | number
  | string
  | readonly number[]
  | { readonly float: number }
  /** A branch of an If: it has no inputs, reads values of the graph around it (`reads` of its node) and gives `outputs`. */
  | { readonly branch: Pick<Graph, 'nodes' | 'initializers'>; readonly outputs: readonly Value[] }
  /** As it stood in somebody else's file: passed on untouched. */
  | { readonly raw: RawAttribute };

export type GraphNode = {
  readonly op: string;
  /** '' is the standard ONNX domain. */
  readonly domain: string;
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly attributes: Readonly<Record<string, AttributeValue>>;
  /** Values of this graph that subgraphs in the attributes read. */
  readonly reads?: readonly Value[];
};

/** Bytes of a file that hold a tensor: nothing is copied into the graph. */
export type ExternalData = {
  /** Index into the list of weight files that the session is given. */
  readonly file: number;
  readonly offset: number;
  readonly length: number;
};

export type Initializer = {
  readonly type: ElementType;
  readonly dims: readonly number[];
  readonly data: Uint8Array | ExternalData;
};

/** A dimension is a number or a free name such as 'B'. */
export type ValueInfo = { readonly type: ElementType; readonly dims: readonly (number | string)[] };

export type Graph = {
  readonly nodes: readonly GraphNode[];
  readonly inputs: ReadonlyMap<Value, ValueInfo>;
  readonly initializers: ReadonlyMap<Value, Initializer>;
  /** Of a graph that was read from a file: what its operators mean. */
  readonly dialect?: {
    readonly irVersion: number;
    readonly opsets: ReadonlyMap<string, number>;
    readonly functions: readonly object[];
  };
};

/** Everything that a node reads, in its subgraphs too; '' is an operand that was left out. */
export const operandsOf = ({ inputs, reads }: GraphNode): readonly Value[] =>
  reads ? [...inputs, ...reads] : inputs;
