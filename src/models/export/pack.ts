/** All weights of a graph in one file beside it: where each lies, and the bytes, read as they are written. */
import { elementsOf, toFloat32 } from '../../formats/index.ts';
import type { ExternalData, Graph } from '../../graph/index.ts';
import type { Initializer, Value } from '../../graph/types.ts';
import type { ByteSource } from '../../platform/types.ts';

/** Tensors begin at a multiple of it: what the ONNX format recommends, so that files can be mapped. */
const PAGE = 4096;
/** Bytes that are read at once. */
const PIECE = 8 * 2 ** 20;
/** From this size on what is made here stands beside the graph, too. */
const LARGE_BYTES = 64 * 1024;

const HALVES = { float16: 'F16', bfloat16: 'BF16' } as const;

/** In a file of the model, or made here: SAEs that are baked in. `half`: to be widened. */
type Piece = {
  readonly at: number;
  readonly from: ExternalData | Uint8Array;
  readonly half?: 'F16' | 'BF16';
};

export type Packed = {
  /** Its weights are in file 0. */
  readonly graph: Graph;
  readonly byteLength: number;
  /** @param onProgress bytes so far */
  chunks(
    sources: readonly ByteSource[],
    options?: { readonly signal?: AbortSignal; readonly onProgress?: (done: number) => void },
  ): AsyncGenerator<Uint8Array>;
};

/** @param widen store half precision as float32 */
export function packWeights(graph: Graph, widen: boolean): Packed {
  const initializers = new Map<Value, Initializer>();
  const pieces: Piece[] = [];
  let byteLength = 0;
  for (const [name, initializer] of graph.initializers) {
    const { type, data } = initializer;
    if (data instanceof Uint8Array && data.length < LARGE_BYTES) {
      initializers.set(name, initializer);
      continue;
    }
    const half = widen && (type === 'float16' || type === 'bfloat16') ? HALVES[type] : undefined;
    const offset = Math.ceil(byteLength / PAGE) * PAGE;
    const length = half ? 2 * data.length : data.length;
    pieces.push({ at: offset, from: data, ...(half ? { half } : {}) });
    initializers.set(name, {
      ...initializer,
      ...(half ? { type: 'float32' } : {}),
      data: { file: 0, offset, length },
    });
    byteLength = offset + length;
  }

  async function* read(
    from: Piece['from'],
    sources: readonly ByteSource[],
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Uint8Array> {
    for (let start = 0; start < from.length; start += PIECE) {
      signal?.throwIfAborted();
      const end = Math.min(from.length, start + PIECE);
      if (from instanceof Uint8Array) yield from.subarray(start, end);
      else yield await sources[from.file]!.slice(from.offset + start, from.offset + end);
    }
  }

  return {
    graph: { ...graph, initializers },
    byteLength,
    async *chunks(sources, { signal, onProgress } = {}) {
      let done = 0;
      for (const { at, from, half } of pieces) {
        if (at > done) yield new Uint8Array(at - done);
        done = at;
        for await (const piece of read(from, sources, signal)) {
          const bytes = half ? asBytes(toFloat32(elementsOf(piece, half), half, 'of the model')) : piece;
          yield bytes;
          done += bytes.length;
          onProgress?.(done);
        }
      }
    },
  };
}

const asBytes = ({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);
