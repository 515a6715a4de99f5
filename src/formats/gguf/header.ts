/**
 * GGUF (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), versions 2 and 3, little-endian:
 *
 *     "GGUF" | u32 version | u64 tensors | u64 pairs | pairs | tensor table | padding to the alignment | data
 *     pair     string key | u32 type | value              string   u64 length | UTF-8
 *     array    u32 type of elements | u64 count | values
 *     tensor   string name | u32 rank n | n x u64 sizes, fastest first | u32 type | u64 offset from the data's beginning
 *
 * All of the header is checked before any tensor is read. Nothing is allocated on the word of a count: every entry takes bytes, and the bytes
 * must be there.
 */
import type { ByteSource } from '../../platform/types.ts';
import { GGUF_TYPES, type GgufTensor, type GgufValue } from './types.ts';

/** The header of a model with 262,144 tokens and their merges has about 20 MB. */
const MAX_HEADER_BYTES = 2 ** 28;
const MAX_TENSORS = 2 ** 17;
const MAX_PAIRS = 2 ** 16;
/** ggml's own. */
const MAX_RANK = 4;
const MAX_DEPTH = 4;
const MAX_ALIGNMENT = 2 ** 16;
const FIRST_READ = 2 ** 20;

export type Gguf = {
  readonly version: number;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
  readonly source: ByteSource;
};

/** More bytes are needed than were read. */
class Short extends Error {}

/** A cursor over the first bytes of the file. */
function createCursor(bytes: Uint8Array, whole: boolean, name: string) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  // A byte order mark may be a token.
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let at = 0;
  function take(count: number): number {
    if (count > bytes.length - at) {
      if (!whole) throw new Short();
      throw new Error(
        `${name}: truncated or damaged: the header asks for ${count} bytes at byte ${at}, and ${bytes.length - at} follow. Download it again.`,
      );
    }
    const from = at;
    at += count;
    return from;
  }
  const u32 = () => view.getUint32(take(4), true);
  const integer = (value: bigint): number | bigint =>
    value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
  /** A size or count; beyond 2^53 it is damage, and no file has as many bytes as `least` of them would take. */
  function count(what: string, least: number, most: number): number {
    const value = Number(view.getBigUint64(take(8), true));
    if (value > most)
      throw new Error(`${name}: ${what} is ${value}, more than ${most}: this header is damaged.`);
    if (value * least > bytes.length - at) {
      if (!whole) throw new Short();
      throw new Error(
        `${name}: truncated or damaged: ${what} is ${value}, and ${bytes.length - at} bytes follow. Download it again.`,
      );
    }
    return value;
  }
  function string(what: string): string {
    const from = take(count(`the length of ${what}`, 1, MAX_HEADER_BYTES));
    return decoder.decode(bytes.subarray(from, at));
  }
  const SCALARS: Readonly<Record<number, readonly [bytes: number, read: () => GgufValue]>> = {
    0: [1, () => view.getUint8(take(1))],
    1: [1, () => view.getInt8(take(1))],
    2: [2, () => view.getUint16(take(2), true)],
    3: [2, () => view.getInt16(take(2), true)],
    4: [4, u32],
    5: [4, () => view.getInt32(take(4), true)],
    6: [4, () => view.getFloat32(take(4), true)],
    7: [1, () => view.getUint8(take(1)) !== 0],
    8: [8, () => string('a text')],
    10: [8, () => integer(view.getBigUint64(take(8), true))],
    11: [8, () => integer(view.getBigInt64(take(8), true))],
    12: [8, () => view.getFloat64(take(8), true)],
  };
  function value(type: number, key: string, depth = 0): GgufValue {
    if (type === 9 && depth < MAX_DEPTH) {
      const of = u32();
      const n = count(`the number of values of ${key}`, SCALARS[of]?.[0] ?? 12, MAX_HEADER_BYTES);
      const values: GgufValue[] = [];
      for (let i = 0; i < n; i++) values.push(value(of, key, depth + 1));
      return values;
    }
    const scalar = SCALARS[type];
    if (!scalar)
      throw new Error(
        `${name}: the value of ${key} has type ${type}; GGUF knows 0 to 12. The header is damaged.`,
      );
    return scalar[1]();
  }
  return { u32, count, string, value, offset: () => integer(view.getBigUint64(take(8), true)), at: () => at };
}

const product = (sizes: readonly number[]): number => sizes.reduce((a, b) => a * b, 1);

type Cursor = ReturnType<typeof createCursor>;

/** One entry of the tensor table, its place still counted from the data's beginning. */
function readTensor(cursor: Cursor, what: string): GgufTensor {
  const name = cursor.string('a tensor name');
  const rank = cursor.u32();
  if (rank > MAX_RANK)
    throw new Error(`${what}: tensor ${name} has ${rank} dimensions; GGUF has at most ${MAX_RANK}.`);
  const shape = Array.from({ length: rank }, () =>
    cursor.count(`a size of tensor ${name}`, 0, Number.MAX_SAFE_INTEGER),
  ).reverse();
  const number = cursor.u32();
  const type = Object.hasOwn(GGUF_TYPES, number) ? GGUF_TYPES[number] : undefined;
  if (!type) throw new Error(`${what}: tensor ${name} has type number ${number}, which is not known here.`);
  const [typeName, blockElements, blockBytes] = type;
  const total = product(shape);
  if (shape.some((n) => n < 1) || !Number.isSafeInteger(total * 8))
    throw new Error(
      `${what}: tensor ${name} is [${shape.join(', ')}]; expected sizes of at least 1 that some disk can hold.`,
    );
  if ((shape.at(-1) ?? 1) % blockElements !== 0)
    throw new Error(
      `${what}: tensor ${name} is ${typeName} with rows of ${shape.at(-1)} elements; ${typeName} packs ${blockElements} at a time.`,
    );
  const start = cursor.offset();
  if (typeof start === 'bigint')
    throw new Error(`${what}: tensor ${name} begins at byte ${start} of the data. The header is damaged.`);
  return { name, type: typeName, shape, start, end: start + (total / blockElements) * blockBytes };
}

/** Moves the tensors to where the data begins; throws where they leave the file or lie on one another. */
function placeTensors(
  tensors: readonly GgufTensor[],
  dataStart: number,
  alignment: number,
  fileBytes: number,
  what: string,
): Map<string, GgufTensor> {
  const placed = new Map<string, GgufTensor>();
  for (const tensor of tensors) {
    const { name, start, end } = tensor;
    if (placed.has(name)) throw new Error(`${what}: two tensors are called ${name}.`);
    if (start % alignment !== 0)
      throw new Error(
        `${what}: tensor ${name} begins at byte ${start} of the data, which is no multiple of ${alignment}.`,
      );
    if (dataStart + end > fileBytes)
      throw new Error(
        `${what}: truncated: tensor ${name} ends at byte ${dataStart + end}, the file has ${fileBytes}. Download it again.`,
      );
    placed.set(name, { ...tensor, start: dataStart + start, end: dataStart + end });
  }
  let before: GgufTensor | undefined;
  for (const tensor of [...placed.values()].sort((a, b) => a.start - b.start || a.end - b.end)) {
    if (before && tensor.start < before.end)
      throw new Error(`${what}: tensors ${before.name} and ${tensor.name} overlap in the file.`);
    before = tensor;
  }
  return placed;
}

function parse(bytes: Uint8Array, source: ByteSource, name: string): Gguf {
  const whole = bytes.length === Math.min(source.byteLength, MAX_HEADER_BYTES);
  const cursor = createCursor(bytes, whole, name);
  const magic = cursor.u32();
  if (magic !== 0x46554747)
    throw new Error(
      `${name}: not a GGUF file: it begins with ${hex(bytes.subarray(0, 4))}, expected 47 47 55 46 ("GGUF").`,
    );
  const version = cursor.u32();
  if (version !== 2 && version !== 3) {
    const why =
      (version & 0xffff) === 0
        ? 'it is big-endian; little-endian files are read'
        : `GGUF version ${version}; versions 2 and 3 are read`;
    throw new Error(`${name}: ${why}. Convert the model again with a present llama.cpp.`);
  }
  // The shortest tensor entry takes 32 bytes, the shortest pair 13.
  const tensorCount = cursor.count('the number of tensors', 24, MAX_TENSORS);
  const pairCount = cursor.count('the number of metadata pairs', 13, MAX_PAIRS);
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < pairCount; i++) {
    const key = cursor.string('a metadata key');
    if (metadata.has(key)) throw new Error(`${name}: the metadata key ${key} stands twice.`);
    metadata.set(key, cursor.value(cursor.u32(), key));
  }
  const tensors: GgufTensor[] = [];
  for (let i = 0; i < tensorCount; i++) tensors.push(readTensor(cursor, name));
  const alignment = metadata.get('general.alignment') ?? 32;
  if (typeof alignment !== 'number' || alignment < 1 || alignment > MAX_ALIGNMENT || alignment % 1 !== 0)
    throw new Error(`${name}: general.alignment is ${alignment}, expected 1 to ${MAX_ALIGNMENT}.`);
  const dataStart = Math.ceil(cursor.at() / alignment) * alignment;
  return {
    version,
    metadata,
    tensors: placeTensors(tensors, dataStart, alignment, source.byteLength, name),
    source,
  };
}

const hex = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ') || 'nothing';

/**
 * Reads and checks the header of a GGUF file: metadata and tensor table. Tensors are read where they lie.
 *
 * @param name what to call the file in messages
 * @throws when it is no GGUF file, truncated, big-endian, or its header is damaged; the message names key or tensor
 */
export async function readGguf(source: ByteSource, name = 'GGUF file'): Promise<Gguf> {
  const most = Math.min(source.byteLength, MAX_HEADER_BYTES);
  // The header does not say how long it is: read more and more of it until it is whole.
  for (let length = Math.min(FIRST_READ, most); ; length = Math.min(4 * length, most)) {
    try {
      return parse(await source.slice(0, length), source, name);
    } catch (error) {
      if (!(error instanceof Short)) throw error;
    }
  }
}
