/** A graph as plain data. A value is named by a string, as in ONNX; nodes stand in topological order. */

export type Value = string;

/** Element types that this project puts into graphs, with their ONNX numbers (TensorProto.DataType). */
export const ONNX_TYPES = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
  bfloat16: 16,
} as const;

export type ElementType = keyof typeof ONNX_TYPES;

export type AttributeValue = number | string | readonly number[] | { readonly float: number };

export type GraphNode = {
  readonly op: string;
  /** '' is the standard ONNX domain. */
  readonly domain: string;
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly attributes: Readonly<Record<string, AttributeValue>>;
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
};
