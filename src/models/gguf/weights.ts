/**
 * The tensors of a GGUF file as the bytes of a float32 safetensors file, in its order, one tensor after the other and large ones in
 * pieces: a model is never in memory as a whole.
 */
import {
  blockSize,
  DEQUANTIZED,
  dequantize,
  type Gguf,
  type GgufTensor,
  headSafetensors,
} from '../../formats/index.ts';
import type { Architecture, Json, Undo } from './architectures.ts';

/** Elements that are dequantised at a time: 16 MB of float32. */
const PIECE = 2 ** 22;

/** What llama.cpp keeps beside the weights and no graph of ours reads. */
const BESIDE = /^(rope_freqs\.weight|blk\.\d+\.attn_rot_embd)$/;

/** Whether a tensor belongs to the language model. */
export const isRead = (name: string, architecture?: Architecture): boolean =>
  !BESIDE.test(name) && !architecture?.images?.test(name);

type Planned = {
  readonly name: string;
  readonly dtype: 'F32';
  readonly shape: readonly number[];
  readonly from: GgufTensor;
  readonly undo: Undo | undefined;
};

/** Hugging Face's name of a tensor. Throws when the architecture has no place for it: leaving it out would change the model. */
function renamed(name: string, { names, layers }: Architecture): string {
  const [, layer, part = '', suffix = ''] = /^(?:blk\.(\d+)\.)?([a-z_]+)\.(weight|bias)$/.exec(name) ?? [];
  const known = Object.hasOwn(names, part) ? names[part] : undefined;
  if (known === undefined) throw new Error(`tensor ${name} has no place in a model of this architecture`);
  return `${layer === undefined ? '' : `${layers}${layer}.`}${known}.${suffix}`;
}

const product = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** Rows [from, to) of a tensor, as float32. */
async function readRows(file: Gguf, tensor: GgufTensor, from: number, to: number): Promise<Float32Array> {
  const width = tensor.shape.at(-1)!;
  const { elements, bytes } = blockSize(tensor.type);
  const rowBytes = (width / elements) * bytes;
  const out = new Float32Array((to - from) * width);
  dequantize(
    tensor.type,
    await file.source.slice(tensor.start + from * rowBytes, tensor.start + to * rowBytes),
    out,
  );
  return out;
}

function transposed(data: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(data.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[j * rows + i] = data[i * columns + j]!;
  return out;
}

/** One tensor as it belongs into the file, in pieces. Tensors whose rows move are held whole; they are the small ones. */
async function* pieces(file: Gguf, { from: tensor, undo }: Planned): AsyncGenerator<Float32Array> {
  const width = tensor.shape.at(-1) ?? 1;
  const rows = product(tensor.shape) / width;
  if (undo?.kind === 'transpose') {
    yield transposed(await readRows(file, tensor, 0, rows), rows, width);
    return;
  }
  if (undo?.kind === 'rows') {
    // A bias is one row whose elements move as the rows of its matrix do.
    const [count, each] = tensor.shape.length === 1 ? [width, 1] : [rows, width];
    const data = await readRows(file, tensor, 0, rows);
    const out = new Float32Array(data.length);
    for (let row = 0; row < count; row++) {
      const at = undo.from(row, count) * each;
      out.set(data.subarray(at, at + each), row * each);
    }
    yield out;
    return;
  }
  const atOnce = Math.max(1, Math.floor(PIECE / width));
  for (let row = 0; row < rows; row += atOnce) {
    const data = await readRows(file, tensor, row, Math.min(rows, row + atOnce));
    if (undo) for (let i = 0; i < data.length; i++) data[i] = data[i]! + undo.value;
    yield data;
  }
}

export type WeightsFile = {
  readonly byteLength: number;
  /** The file's bytes in order; ends early, with the signal's reason, when it is stopped. */
  chunks(signal?: AbortSignal): AsyncGenerator<Uint8Array>;
};

/**
 * Plans model.safetensors; nothing is read before `chunks`.
 *
 * @throws for a tensor type that is not read (before anything is written), and for a tensor that has no place
 */
export function planWeights(
  file: Gguf,
  architecture: Architecture,
  config: Json,
  metadata: Readonly<Record<string, string>>,
): WeightsFile {
  const planned: Planned[] = [];
  for (const tensor of file.tensors.values()) {
    if (!isRead(tensor.name, architecture)) continue;
    if (!DEQUANTIZED.includes(tensor.type))
      throw new Error(
        `tensor ${tensor.name} is ${tensor.type}, which is not read. Read are ${DEQUANTIZED.join(', ')}. Take the model in another quantisation, such as Q4_K_M or Q8_0.`,
      );
    const undo = architecture.undo?.(tensor.name, config);
    const shape = undo?.kind === 'transpose' ? [...tensor.shape].reverse() : tensor.shape;
    planned.push({ name: renamed(tensor.name, architecture), dtype: 'F32', shape, from: tensor, undo });
  }
  const { header, ordered, byteLength } = headSafetensors(planned, metadata);
  return {
    byteLength,
    async *chunks(signal) {
      yield header;
      for (const tensor of ordered)
        for await (const piece of pieces(file, tensor)) {
          signal?.throwIfAborted();
          yield new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength);
        }
    },
  };
}
