/**
 * safetensors (https://github.com/huggingface/safetensors):
 *
 *     u64 little-endian n | n bytes of JSON | data
 *     JSON: { name: { dtype, shape, data_offsets: [begin, end) within data }, "__metadata__": { string: string } }
 *
 * The reader checks all of the header before any tensor is touched: offsets must tile the data without gap or overlap,
 * as upstream demands, and every length must follow from dtype and shape.
 * Not here: big-endian machines, sub-byte dtypes.
 */
import type { ByteSource } from '../platform/types.ts';
import { bfloat16ToFloat32, float16ToFloat32 } from './float16.ts';

/** Bytes per element, in upstream's order of dtypes, which is also (backwards) the order of tensors in a file. */
export const DTYPE_BYTES = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  F64: 8,
  I64: 8,
  U64: 8,
} as const;

const DTYPE_ORDER = Object.keys(DTYPE_BYTES);

export type Dtype = keyof typeof DTYPE_BYTES;

/** Raw elements: F16 and BF16 as Uint16Array, F8 and BOOL as Uint8Array. */
export type TensorArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array;

/** Where one tensor lies: `start` and `end` count from the beginning of the file. */
export type TensorEntry = {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly start: number;
  readonly end: number;
};

export type Safetensors = {
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly metadata: Readonly<Record<string, string>>;
  /** The JSON header as it stands in the file, for hashing. */
  readonly header: Uint8Array;
  readonly source: ByteSource;
  /** The elements as they are stored. Throws when there is no such tensor. */
  read(name: string): Promise<TensorArray>;
  /** The elements as float32, from F32, F16, BF16 or F64; `shape`, when given, is checked. */
  readFloat32(name: string, shape?: readonly number[]): Promise<Float32Array>;
};

/** What `writeSafetensors` takes; F16 and BF16 as Uint16Array of their bits. */
export type TensorInput = {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly data: TensorArray;
};

/** Upstream's own ceiling; a 70B model's header is under 1 MB. */
export const MAX_HEADER_BYTES = 100_000_000;
/** ONNX Runtime, NumPy and PyTorch stop far below; a header that says more is damaged or hostile. */
export const MAX_RANK = 16;

const ARRAYS = {
  BOOL: Uint8Array,
  U8: Uint8Array,
  I8: Int8Array,
  F8_E4M3: Uint8Array,
  F8_E5M2: Uint8Array,
  U16: Uint16Array,
  I16: Int16Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  U32: Uint32Array,
  I32: Int32Array,
  F32: Float32Array,
  U64: BigUint64Array,
  I64: BigInt64Array,
  F64: Float64Array,
} as const;

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** Product of a shape, 1 for a scalar. */
const elements = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);

function parseEntry(name: string, value: unknown, dataStart: number, what: string): TensorEntry {
  if (!isRecord(value)) throw new Error(`${what}: the header entry of ${name} is not an object`);
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== 'string' || !Object.hasOwn(DTYPE_BYTES, dtype)) {
    throw new Error(
      `${what}: tensor ${name} has dtype ${JSON.stringify(dtype)}; known are ${Object.keys(DTYPE_BYTES).join(', ')}`,
    );
  }
  if (!Array.isArray(shape) || shape.length > MAX_RANK || !shape.every(isCount)) {
    throw new Error(
      `${what}: tensor ${name} has shape ${JSON.stringify(shape)}; expected at most ${MAX_RANK} sizes >= 0`,
    );
  }
  const [begin, end] = Array.isArray(offsets) && offsets.length === 2 ? offsets : [];
  if (!isCount(begin) || !isCount(end) || begin > end) {
    throw new Error(
      `${what}: tensor ${name} has data_offsets ${JSON.stringify(offsets)}; expected [begin, end] with begin <= end`,
    );
  }
  const expected = elements(shape) * DTYPE_BYTES[dtype as Dtype];
  if (expected !== end - begin) {
    throw new Error(
      `${what}: tensor ${name} is ${dtype} [${shape.join(', ')}], which is ${expected} bytes, but its offsets span ${end - begin}`,
    );
  }
  return { name, dtype: dtype as Dtype, shape, start: dataStart + begin, end: dataStart + end };
}

/** The tensors must tile the data: upstream refuses gaps and overlaps, which could hide or alias bytes. */
function checkTiling(
  entries: readonly TensorEntry[],
  dataStart: number,
  byteLength: number,
  what: string,
): void {
  const sorted = [...entries].sort((a, b) => a.start - b.start || a.end - b.end);
  let at = dataStart;
  let previous = 'the header';
  for (const entry of sorted) {
    if (entry.start < at)
      throw new Error(`${what}: tensors ${previous} and ${entry.name} overlap in the file`);
    if (entry.start > at)
      throw new Error(
        `${what}: ${entry.start - at} bytes between ${previous} and ${entry.name} belong to no tensor`,
      );
    at = entry.end;
    previous = entry.name;
  }
  if (at > byteLength) {
    throw new Error(
      `${what}: truncated: the header describes ${at} bytes, the file has ${byteLength} (${at - byteLength} missing). It is not whole: copy or download it again, or make it anew.`,
    );
  }
  if (at < byteLength)
    throw new Error(`${what}: ${byteLength - at} bytes after the last tensor belong to no tensor`);
}

/** Aligned copy-or-view of raw little-endian bytes as elements. */
export function elementsOf(bytes: Uint8Array, dtype: Dtype): TensorArray {
  const Type = ARRAYS[dtype];
  const aligned = bytes.byteOffset % Type.BYTES_PER_ELEMENT === 0 ? bytes : bytes.slice();
  return new Type(
    aligned.buffer as ArrayBuffer,
    aligned.byteOffset,
    aligned.byteLength / Type.BYTES_PER_ELEMENT,
  );
}

/** Any float dtype as float32. Throws for integers, naming the tensor. */
export function toFloat32(data: TensorArray, dtype: Dtype, name: string): Float32Array {
  if (dtype === 'F32') return data as Float32Array;
  if (dtype === 'F16') return float16ToFloat32(data as Uint16Array);
  if (dtype === 'BF16') return bfloat16ToFloat32(data as Uint16Array);
  if (dtype === 'F64') return new Float32Array(data as Float64Array);
  throw new Error(`Tensor ${name} is ${dtype}; expected F32, F16, BF16 or F64`);
}

/**
 * Reads and checks a safetensors header; tensors are read when asked for.
 *
 * @param name what to call the file in messages
 * @throws when the file is truncated, its header malformed, or tensors overlap; the message names the tensor
 */
export async function readSafetensors(source: ByteSource, name = 'safetensors file'): Promise<Safetensors> {
  if (source.byteLength < 8)
    throw new Error(
      `${name}: ${source.byteLength} bytes is too short for safetensors (at least 10). It is not whole: copy or download it again, or make it anew.`,
    );
  const lengthBytes = await source.slice(0, 8);
  const headerLength = Number(
    new DataView(lengthBytes.buffer, lengthBytes.byteOffset, 8).getBigUint64(0, true),
  );
  if (headerLength > MAX_HEADER_BYTES) {
    throw new Error(
      `${name}: the header says it is ${headerLength} bytes long, more than ${MAX_HEADER_BYTES}. This is not a safetensors file.`,
    );
  }
  const dataStart = 8 + headerLength;
  if (dataStart > source.byteLength) {
    throw new Error(
      `${name}: truncated within its header (${headerLength} bytes announced, ${source.byteLength - 8} present). It is not whole: copy or download it again, or make it anew.`,
    );
  }
  const header = await source.slice(8, dataStart);
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(header));
  } catch (error) {
    throw new Error(`${name}: the header is not JSON (${(error as Error).message})`);
  }
  if (!isRecord(json)) throw new Error(`${name}: the header is not a JSON object`);

  let metadata: Record<string, string> = {};
  const entries: TensorEntry[] = [];
  for (const [key, value] of Object.entries(json)) {
    if (key !== '__metadata__') entries.push(parseEntry(key, value, dataStart, name));
    else if (isRecord(value))
      metadata = Object.fromEntries(Object.entries(value).map(([k, v]) => [k, String(v)]));
  }
  checkTiling(entries, dataStart, source.byteLength, name);
  const tensors = new Map(entries.map((entry) => [entry.name, entry]));

  const find = (tensor: string): TensorEntry => {
    const entry = tensors.get(tensor);
    if (!entry) throw new Error(`${name}: no tensor ${tensor}; it has ${summary([...tensors.keys()])}`);
    return entry;
  };
  const read = async (tensor: string): Promise<TensorArray> => {
    const entry = find(tensor);
    return elementsOf(await source.slice(entry.start, entry.end), entry.dtype);
  };
  return {
    tensors,
    metadata,
    header,
    source,
    read,
    async readFloat32(tensor, shape) {
      const entry = find(tensor);
      if (shape && (shape.length !== entry.shape.length || shape.some((n, i) => n !== entry.shape[i]))) {
        throw new Error(
          `${name}: tensor ${tensor} is [${entry.shape.join(', ')}], expected [${shape.join(', ')}]`,
        );
      }
      return toFloat32(await read(tensor), entry.dtype, tensor);
    },
  };
}

/** The first names of a list, for messages. */
function summary(names: readonly string[]): string {
  const shown = names.slice(0, 8).join(', ');
  return names.length > 8 ? `${shown} and ${names.length - 8} more` : shown || 'none';
}

/** What the header says of a tensor. */
export type TensorHeading = {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
};

/**
 * The header of a file, and the tensors in the order in which their data must follow it: widest dtypes first, then by name, as upstream
 * orders them, so that every tensor is aligned to its element.
 */
export function headSafetensors<T extends TensorHeading>(
  tensors: readonly T[],
  metadata?: Readonly<Record<string, string>>,
): { header: Uint8Array; ordered: T[]; byteLength: number } {
  const ordered = [...tensors].sort(
    (a, b) => DTYPE_ORDER.indexOf(b.dtype) - DTYPE_ORDER.indexOf(a.dtype) || (a.name < b.name ? -1 : 1),
  );
  // A Map, not an object: a tensor may be called __proto__.
  const entries = new Map<string, unknown>();
  if (metadata && Object.keys(metadata).length > 0) entries.set('__metadata__', metadata);
  let at = 0;
  for (const { name, dtype, shape } of ordered) {
    if (name === '__metadata__') throw new Error('A tensor cannot be named __metadata__ in safetensors');
    const end = at + elements(shape) * DTYPE_BYTES[dtype];
    entries.set(name, { dtype, shape, data_offsets: [at, end] });
    at = end;
  }
  // Padded with spaces so that the data begins at a multiple of 8.
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const header = new Uint8Array(8 + Math.ceil(json.length / 8) * 8).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(header.length - 8), true);
  header.set(json, 8);
  return { header, ordered, byteLength: header.length + at };
}

/**
 * Serializes tensors: the chunks to write one after the other, the first being the header. The data chunks are views of
 * the arrays given, not copies; write them before changing those.
 *
 * @throws when an array's length or type disagrees with its shape and dtype
 */
export function writeSafetensors(
  tensors: ReadonlyMap<string, TensorInput> | Readonly<Record<string, TensorInput>>,
  metadata?: Readonly<Record<string, string>>,
): Uint8Array[] {
  const list = [...(tensors instanceof Map ? tensors.entries() : Object.entries(tensors))] as [
    string,
    TensorInput,
  ][];
  const { header, ordered } = headSafetensors(
    list.map(([name, tensor]) => ({ name, ...tensor })),
    metadata,
  );
  const chunks = ordered.map(({ name, dtype, shape, data }) => {
    if (!(data instanceof ARRAYS[dtype])) {
      throw new Error(
        `Tensor ${name}: ${dtype} is written from ${ARRAYS[dtype].name}, got ${data.constructor.name}`,
      );
    }
    if (elements(shape) !== data.length) {
      throw new Error(
        `Tensor ${name}: shape [${shape.join(', ')}] needs ${elements(shape)} elements, the array has ${data.length}`,
      );
    }
    return new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
  });
  return [header, ...chunks];
}

/** All chunks in one buffer, for small files. */
export function joinChunks(chunks: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    out.set(chunk, at);
    at += chunk.length;
  }
  return out;
}
