/** Named tensors of one file, whatever its kind: safetensors, .npz, or .pt of torch.save. Told apart by their first bytes, not by their names. */
import type { ByteSource } from '../platform/types.ts';
import { readNpy } from './npy.ts';
import { DTYPE_BYTES, type Dtype, elementsOf, readSafetensors, toFloat32 } from './safetensors.ts';
import { readTorchLegacy, readTorchZip } from './torch.ts';
import { readZip } from './zip.ts';

/** Numbers of one block while a matrix is transposed. */
const BLOCK = 2 ** 21;

export type NamedTensor = {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** F: column-major. */
  readonly order: 'C' | 'F';
  readonly source: ByteSource;
  readonly start: number;
};

export type TensorFile = {
  /** What to call the file in messages. */
  readonly name: string;
  readonly kind: 'safetensors' | 'npz' | 'pt';
  readonly tensors: ReadonlyMap<string, NamedTensor>;
  /** Plain values beside them: of .pt. */
  readonly values: ReadonlyMap<string, string | number | boolean>;
};

/** @throws when the file is none of the three, truncated, damaged, or asks for more than weights need */
export async function readTensors(source: ByteSource, name: string): Promise<TensorFile> {
  // A pickle begins with 0x80, and so may the length of a safetensors header, which { follows.
  const magic = await source.slice(0, Math.min(9, source.byteLength));
  if (magic[0] === 0x50 && magic[1] === 0x4b) {
    const entries = await readZip(source, name);
    if (entries.some((entry) => entry.name.endsWith('data.pkl')))
      return torch(name, await readTorchZip(entries, name));
    const tensors = new Map<string, NamedTensor>();
    for (const entry of entries) {
      const key = entry.name.replace(/\.npy$/, '');
      const array = await readNpy(await entry.open(), `${name}, ${key}`);
      if (array.bigEndian) throw new Error(`${name}, ${key}: big-endian numbers; save x.astype('<f4')`);
      tensors.set(key, { ...array, name: key });
    }
    return { name, kind: 'npz', tensors, values: new Map() };
  }
  if (magic[0] === 0x80 && magic[8] !== 0x7b) return torch(name, await readTorchLegacy(source, name));
  if (magic.length === 9 && magic[8] !== 0x7b)
    throw new Error(
      `${name}: it begins as none of safetensors, .npz and .pt (torch.save) does, so it is damaged or of another kind. Copy or download it again.`,
    );
  const file = await readSafetensors(source, name);
  const tensors = [...file.tensors.values()].map(
    (entry) => [entry.name, { ...entry, order: 'C', source }] as [string, NamedTensor],
  );
  return { name, kind: 'safetensors', tensors: new Map(tensors), values: new Map() };
}

function torch(name: string, { tensors, values }: Awaited<ReturnType<typeof readTorchZip>>): TensorFile {
  return {
    name,
    kind: 'pt',
    values,
    tensors: new Map([...tensors].map(([key, tensor]) => [key, { ...tensor, name: key }])),
  };
}

export const countOf = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);

/** Elements [from, from + count) in the order of the file, as float32. @throws when they are no floats */
export async function readElements(
  { name, dtype, source, start }: NamedTensor,
  from: number,
  count: number,
): Promise<Float32Array> {
  const at = start + from * DTYPE_BYTES[dtype];
  const bytes = await source.slice(at, at + count * DTYPE_BYTES[dtype]);
  // A copy in any case: what is read may be changed, the source may not.
  return toFloat32(elementsOf(bytes.slice(), dtype), dtype, name);
}

/** A tensor of any kind of number as plain numbers, for the small ones. */
export async function readNumbers({ dtype, shape, source, start }: NamedTensor): Promise<number[]> {
  const bytes = await source.slice(start, start + countOf(shape) * DTYPE_BYTES[dtype]);
  const elements = elementsOf(bytes.slice(), dtype);
  if (dtype === 'F16' || dtype === 'BF16') return [...toFloat32(elements, dtype, '')];
  return Array.from(elements as ArrayLike<number | bigint>, Number);
}

/** Whether the rows of a matrix, or its columns when it is read transposed, are each one range of the file. */
export const isContiguous = ({ order }: NamedTensor, transposed: boolean): boolean =>
  (order === 'C') !== transposed;

/**
 * A matrix as row-major float32 of [rows,columns]; `transposed`: the file has [columns,rows]. What lies the other way in the file is read
 * in bands and turned: no second full copy.
 */
export async function readMatrix(
  tensor: NamedTensor,
  [rows, columns]: readonly [number, number],
  transposed: boolean,
  signal?: AbortSignal,
): Promise<Float32Array> {
  const turned = !isContiguous(tensor, transposed);
  const out = new Float32Array(rows * columns);
  // The file has lines of `length`, `count` of them.
  const [count, length] = turned ? [columns, rows] : [rows, columns];
  const band = Math.max(1, Math.floor(BLOCK / length));
  for (let first = 0; first < count; first += band) {
    signal?.throwIfAborted();
    const n = Math.min(band, count - first);
    const block = await readElements(tensor, first * length, n * length);
    if (!turned) out.set(block, first * length);
    else
      for (let row = 0; row < rows; row++)
        for (let i = 0; i < n; i++) out[row * columns + first + i] = block[i * length + row]!;
  }
  return out;
}

/**
 * Rows [from, from + count) of such a matrix. One short read when they are contiguous in the file, else one read per column, for which a
 * file that is far away is brought here, once.
 */
export async function readRows(
  tensor: NamedTensor,
  [rows, columns]: readonly [number, number],
  transposed: boolean,
  from: number,
  count: number,
): Promise<Float32Array> {
  if (isContiguous(tensor, transposed)) return await readElements(tensor, from * columns, count * columns);
  const out = new Float32Array(count * columns);
  const here = { ...tensor, source: (await tensor.source.local?.()) ?? tensor.source };
  for (let c = 0; c < columns; c++) {
    const piece = await readElements(here, c * rows + from, count);
    for (let i = 0; i < count; i++) out[i * columns + c] = piece[i]!;
  }
  return out;
}
