/**
 * What running a model takes, read off the graph that will run: no table of families to keep up to date.
 *
 *     a product with a weight [m,n]      2 m n operations per position, 4 m n bytes (the engine's own copy in float32)
 *     attention, per layer               scores and mixing: 2 x 2 T H d operations per position; the causal half is not skipped
 *     a table of embeddings              its bytes as they are stored; a look-up is no work
 *     inside one block                   three [B T, D], and two [B,H,T,T] (scores and pattern) with six [B T, H d] (queries, keys and values, and as they lie
 *                                        for the products), or three [B T, M] of the MLP, whichever is larger
 *
 * `test/model-memory.slow.test.ts` holds that to what runs really take. An embedding that is the head, too, counts twice: where rows are looked
 * up in and where the engine lays it out for the product, which are two sessions in an evaluation and stand side by side while a session for
 * text is made.
 */
import {
  cutGraph,
  type Graph,
  type GraphNode,
  type Initializer,
  type Value,
  type ValueInfo,
} from '../graph/index.ts';

/** What one part of a model takes. */
export type PartCost = {
  readonly weightBytes: number;
  /** Weights that stay in the pages of their file, when sessions map it. */
  readonly mappedBytes: number;
  /** Multiplications and additions per position. */
  readonly flops: number;
  /** Values that are alive at the same time inside the engine, beyond the weights. */
  readonly innerBytes: number;
};

/** A model seen from a hook: up to it (what a harvest runs), from it to the last residual, and the head. */
export type ModelCost = { readonly before: PartCost; readonly after: PartCost; readonly head: PartCost };

type Sizes = {
  readonly B: number;
  readonly T: number;
  readonly heads: number;
  readonly headDim: number;
  readonly D: number;
  /** F32 weights are mapped from their files. */
  readonly mapped: boolean;
};

const BYTES = { float16: 2, bfloat16: 2, int8: 1, uint8: 1, uint4: 0.5, int4: 0.5 } as Readonly<
  Record<string, number>
>;
/** What stands between a stored weight and the product that reads it, in files of others too. */
const SAME_WEIGHT = new Set(['Cast', 'Transpose', 'Identity', 'DequantizeLinear']);
const PRODUCTS: Readonly<Record<string, number>> = {
  Gemm: 1,
  MatMul: 1,
  MatMulInteger: 1,
  MatMulNBits: 1,
  QLinearMatMul: 3,
};
const size = (dims: readonly number[]): number => dims.reduce((product, n) => product * n, 1);

/** Cost of the graph cut to `outputs`, continued from `given` values. */
export function partCost(
  graph: Graph,
  outputs: readonly Value[],
  { B, T, heads, headDim, D, mapped }: Sizes,
  given: ReadonlyMap<Value, ValueInfo> = new Map(),
): PartCost {
  const cut = cutGraph(graph, outputs, given);
  const makers = new Map(cut.nodes.flatMap((node) => node.outputs.map((output) => [output, node] as const)));
  /** The stored tensor behind a value: itself, or what a conversion to float32 reads. */
  const stored = (value: Value): Value => {
    const node: GraphNode | undefined = makers.get(value);
    return node && SAME_WEIGHT.has(node.op) ? stored(node.inputs[0]!) : value;
  };
  let weightBytes = 0;
  let mappedBytes = 0;
  const hold = (bytes: number, { type, data }: Initializer): void => {
    if (mapped && type === 'float32' && !(data instanceof Uint8Array)) mappedBytes += bytes;
    else weightBytes += bytes;
  };
  let flops = 0;
  let widest = 0;
  let layers = 0;
  for (const { op, inputs } of cut.nodes) {
    if (op === 'Softmax') layers++;
    if (op === 'Gather') {
      const table = cut.initializers.get(inputs[0]!);
      if (table) hold(size(table.dims) * (BYTES[table.type] ?? 4), table);
    }
    const operand = PRODUCTS[op];
    if (operand === undefined) continue;
    const weight = cut.initializers.get(stored(inputs[operand]!));
    if (!weight) continue;
    // Half precision is turned into float32 when it is loaded; quantised weights stay as they are.
    hold(size(weight.dims) * (/^u?int/.test(weight.type) ? (BYTES[weight.type] ?? 4) : 4), weight);
    flops += 2 * size(weight.dims);
    widest = Math.max(widest, ...weight.dims);
  }
  flops += layers * 4 * T * heads * headDim;
  const N = B * T;
  const attention = layers > 0 ? 2 * N * heads * T + 6 * N * heads * headDim : 0;
  return {
    weightBytes,
    mappedBytes,
    flops,
    innerBytes: 4 * (Math.max(attention, 3 * N * widest) + 3 * N * D),
  };
}
