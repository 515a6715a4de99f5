/**
 * A table E [V,D] stored in half precision that rows are looked up in and that is multiplied with, as an embedding that is the head, too:
 *
 *     x = float(E[ids])      logits = h float(E)^T
 *
 * The engine would hold E as it is stored, and float(E) twice while it lays it out for the product. Here float(E) is made once for all
 * sessions of a model and fed to those that multiply with it: read where it lies, looked up in, too, and the numbers are the same.
 */
import { bfloat16ToFloat32, float16ToFloat32 } from '../formats/index.ts';
import type { ExternalData, Graph, GraphNode, Initializer, Value } from '../graph/index.ts';
import { operandsOf } from '../graph/index.ts';
import type { ByteSource, Ort } from '../platform/index.ts';
import type { Feeds } from './sessions.ts';

/** Elements that are converted at a time. */
const PIECE = 1 << 20;

type HalfTable = { readonly stored: Value; readonly float: Value; readonly tensor: Initializer };

/** Tables whose rows become float32 behind the look-up, and which are float32 as a whole in front of a product. */
function findTables({ nodes, initializers }: Graph): HalfTable[] {
  const readers = new Map<Value, GraphNode[]>();
  for (const node of nodes)
    for (const value of operandsOf(node)) readers.set(value, [...(readers.get(value) ?? []), node]);
  const onlyCast = (value: Value) => {
    const [cast, ...more] = readers.get(value) ?? [];
    return cast?.op === 'Cast' && more.length === 0;
  };
  return [...initializers].flatMap(([stored, tensor]): HalfTable[] => {
    const half = tensor.type === 'float16' || tensor.type === 'bfloat16';
    if (!half || tensor.data instanceof Uint8Array || tensor.dims.length !== 2) return [];
    const reading = readers.get(stored) ?? [];
    const casts = reading.filter(({ op }) => op === 'Cast');
    const lookUps = reading.filter(({ op, inputs }) => op === 'Gather' && inputs[0] === stored);
    const [float] = casts[0]?.outputs ?? [];
    if (casts.length !== 1 || float === undefined || lookUps.length === 0) return [];
    if (casts.length + lookUps.length !== reading.length) return [];
    const multiplied = (readers.get(float) ?? []).every(
      ({ op, inputs }) => op === 'Gemm' && inputs[1] === float,
    );
    return multiplied && lookUps.every(({ outputs }) => onlyCast(outputs[0]!))
      ? [{ stored, float, tensor }]
      : [];
  });
}

/** A cut graph with float(E) as an input, where it multiplies with it. */
function withInput(cut: Graph, { stored, float, tensor }: HalfTable): Graph {
  const looked = new Map<Value, GraphNode>();
  const nodes = cut.nodes.flatMap((node): GraphNode[] => {
    const [first = ''] = node.inputs;
    if (node.op === 'Gather' && first === stored) {
      looked.set(node.outputs[0]!, node);
      return [];
    }
    if (node.op !== 'Cast') return [node];
    const gather = looked.get(first);
    if (gather) return [{ ...gather, inputs: [float, gather.inputs[1]!], outputs: node.outputs }];
    return node.outputs[0] === float ? [] : [node];
  });
  const initializers = new Map([...cut.initializers].filter(([name]) => name !== stored));
  return {
    ...cut,
    nodes,
    initializers,
    inputs: new Map([...cut.inputs, [float, { type: 'float32', dims: tensor.dims }]]),
  };
}

async function convert(
  { type, dims, data }: Initializer,
  files: readonly ByteSource[],
): Promise<Float32Array> {
  const { file, offset } = data as ExternalData;
  const out = new Float32Array(dims.reduce((a, b) => a * b, 1));
  const toFloat = type === 'float16' ? float16ToFloat32 : bfloat16ToFloat32;
  const source = files[file]!;
  const piece = new Uint16Array(Math.min(PIECE, out.length));
  for (let at = 0; at < out.length; at += PIECE) {
    const bits = piece.subarray(0, out.length - at);
    const bytes = new Uint8Array(piece.buffer, 0, bits.byteLength);
    const start = offset + 2 * at;
    if (source.readInto) await source.readInto(start, bytes);
    else bytes.set(await source.slice(start, start + bytes.length));
    toFloat(bits, out.subarray(at, at + bits.length));
  }
  return out;
}

/** The half-precision tables of one model, converted when a session first asks for one. */
export function createHalfTables(graph: Graph, files: readonly ByteSource[], { Tensor }: Ort) {
  const tables = findTables(graph);
  const made = new Map<Value, Promise<InstanceType<Ort['Tensor']>>>();
  /** One that failed to be read is not found again. */
  function tableOf(float: Value, stored: Initializer): Promise<InstanceType<Ort['Tensor']>> {
    const known = made.get(float);
    if (known) return known;
    const fresh = convert(stored, files).then((data) => new Tensor('float32', data, stored.dims));
    made.set(float, fresh);
    fresh.catch(() => made.delete(float));
    return fresh;
  }
  return {
    clear: (): void => made.clear(),
    /** A cut of the graph without the tables that it multiplies with, and what to feed it instead. */
    feed(cut: Graph): { cut: Graph; fed: () => Promise<Feeds> } {
      const used = tables.filter(({ float }) => cut.nodes.some(({ outputs }) => outputs.includes(float)));
      return {
        cut: used.reduce(withInput, cut),
        async fed() {
          const feeds = used.map(async ({ float, tensor }) => {
            const table = await tableOf(float, tensor);
            return [float, () => table] as const;
          });
          return Object.fromEntries(await Promise.all(feeds));
        },
      };
    },
  };
}
