/**
 * The inside of Parquet pages, as far as columns of floats need it.
 *
 *     header   thrift compact: type, sizes, count, encoding
 *     levels   RLE / bit-packed hybrid: runs of  (count << 1 | 0) value  or  (groups of 8 << 1 | 1) bits
 *     values   PLAIN: little-endian floats;  dictionary: bit width, hybrid of indices;  BYTE_STREAM_SPLIT: all first bytes, all second, …
 */
import { DTYPE_BYTES, elementsOf, toFloat32 } from './safetensors.ts';

export type FloatType = 'FLOAT16' | 'FLOAT' | 'DOUBLE';
const DTYPES = { FLOAT16: 'F16', FLOAT: 'F32', DOUBLE: 'F64' } as const;

/** Parquet's numbers of encodings that hold floats. */
const ENCODINGS: Readonly<Record<number, PageHeader['encoding']>> = {
  0: 'PLAIN',
  2: 'DICTIONARY',
  8: 'DICTIONARY',
  9: 'BYTE_STREAM_SPLIT',
};

export type PageHeader = {
  readonly kind: 'data' | 'dictionary' | 'other';
  readonly headerBytes: number;
  /** Bytes when unpacked, and in the file. */
  readonly size: number;
  readonly packedSize: number;
  /** Numbers, nulls included. */
  readonly values: number;
  readonly encoding: 'PLAIN' | 'DICTIONARY' | 'BYTE_STREAM_SPLIT' | undefined;
  /** Version 2 only: bytes of the levels, which are never compressed. */
  readonly levels?: { readonly repetition: number; readonly definition: number };
  /** Whether the values are compressed with the codec of the column. */
  readonly packed: boolean;
};

type Thrift = Map<number, number | boolean | Thrift | undefined>;

/** Reads one struct of thrift's compact protocol; binary fields and lists of scalars are stepped over. */
function thrift(bytes: Uint8Array, start: number): { fields: Thrift; end: number } {
  let at = start;
  const byte = (): number => {
    const value = bytes[at++];
    if (value === undefined) throw new Error('ends within a page header');
    return value;
  };
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const next = byte();
      value += (next & 127) * scale;
      if (next < 128) return value;
    }
  };
  const zigzag = (): number => {
    const value = varint();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  };
  const value = (type: number, depth: number): number | boolean | Thrift | undefined => {
    if (depth > 8) throw new Error('page header nested too deeply');
    if (type === 1 || type === 2) return type === 1;
    if (type === 3) return byte();
    if (type <= 6) return zigzag();
    if (type === 7) at += 8;
    else if (type === 8) {
      const length = varint();
      at += length;
    } else if (type === 12) return struct(depth + 1);
    else throw new Error(`field of type ${type} in a page header`);
    return undefined;
  };
  const struct = (depth: number): Thrift => {
    const fields: Thrift = new Map();
    for (let id = 0; ; ) {
      const head = byte();
      if (head === 0) return fields;
      id = head >> 4 ? id + (head >> 4) : zigzag();
      fields.set(id, value(head & 15, depth));
    }
  };
  return { fields: struct(0), end: at };
}

/** Reads the header that stands at the beginning of `bytes`. */
export function readPageHeader(bytes: Uint8Array, what: string): PageHeader {
  let parsed: ReturnType<typeof thrift>;
  try {
    parsed = thrift(bytes, 0);
  } catch (error) {
    throw new Error(`${what}: damaged: ${(error as Error).message}`);
  }
  const { fields, end } = parsed;
  const number = (from: Thrift, id: number): number => {
    const found = from.get(id);
    if (typeof found !== 'number' || found < 0) throw new Error(`${what}: damaged page header`);
    return found;
  };
  const sizes = { headerBytes: end, size: number(fields, 2), packedSize: number(fields, 3) };
  const struct = (id: number): Thrift | undefined => {
    const found = fields.get(id);
    return found instanceof Map ? found : undefined;
  };
  const [v1, dictionary, v2] = [struct(5), struct(7), struct(8)];
  if (v1)
    return {
      ...sizes,
      kind: 'data',
      values: number(v1, 1),
      encoding: ENCODINGS[number(v1, 2)],
      packed: true,
    };
  if (dictionary)
    return { ...sizes, kind: 'dictionary', values: number(dictionary, 1), encoding: 'PLAIN', packed: true };
  if (!v2) return { ...sizes, kind: 'other', values: 0, encoding: undefined, packed: false };
  const levels = { repetition: number(v2, 6), definition: number(v2, 5) };
  return {
    ...sizes,
    kind: 'data',
    values: number(v2, 1),
    encoding: ENCODINGS[number(v2, 4)],
    levels,
    packed: v2.get(7) !== false,
  };
}

/** `count` numbers of `bits` bits each from runs; the bytes may end early only in the padding of the last run. */
export function readHybrid(bytes: Uint8Array, bits: number, count: number): Uint32Array {
  const out = new Uint32Array(count);
  const width = (bits + 7) >> 3;
  let at = 0;
  for (let i = 0; i < count; ) {
    let head = 0;
    for (let shift = 0; ; shift += 7) {
      const next = bytes[at++];
      if (next === undefined || shift > 28) throw new Error('damaged: runs end early');
      head |= (next & 127) << shift;
      if (next < 128) break;
    }
    head >>>= 0;
    if (head & 1) {
      const n = Math.min(count - i, (head >>> 1) * 8);
      let buffered = 0;
      let have = 0;
      let next = at;
      const mask = bits === 32 ? 0xffffffff : 2 ** bits - 1;
      for (let k = 0; k < n; k++) {
        while (have < bits) {
          // Bits above 32 are kept by arithmetic instead of shifts; indices of dictionaries have at most 20.
          buffered += (bytes[next++] ?? 0) * 2 ** have;
          have += 8;
        }
        out[i++] = bits <= 24 ? buffered & mask : buffered % 2 ** bits;
        buffered = Math.floor(buffered / 2 ** bits);
        have -= bits;
      }
      at += (head >>> 1) * bits;
    } else {
      let value = 0;
      for (let k = 0; k < width; k++) value += (bytes[at++] ?? 0) * 2 ** (8 * k);
      const n = Math.min(count - i, head >>> 1);
      if (n === 0) throw new Error('damaged: an empty run');
      out.fill(value, i, i + n);
      i += n;
    }
  }
  return out;
}

/** The numbers of a page as float32. Throws when there are too few bytes, or the encoding holds no floats. */
export function decodeValues(
  bytes: Uint8Array,
  { values: count, encoding }: PageHeader,
  type: FloatType,
  dictionary: Float32Array,
  what: string,
): Float32Array {
  const width = DTYPE_BYTES[DTYPES[type]];
  if (encoding === 'DICTIONARY') {
    const indices = readHybrid(bytes.subarray(1), bytes[0]!, count);
    const out = new Float32Array(count);
    for (let i = 0; i < count; i++) {
      if (indices[i]! >= dictionary.length)
        throw new Error(`${what}: damaged: index ${indices[i]} of a dictionary of ${dictionary.length}`);
      out[i] = dictionary[indices[i]!]!;
    }
    return out;
  }
  if (!encoding) throw new Error(`${what}: an encoding that holds no floats`);
  if (bytes.length < count * width)
    throw new Error(`${what}: damaged: ${bytes.length} bytes for ${count} numbers`);
  let plain = bytes.slice(0, count * width);
  if (encoding === 'BYTE_STREAM_SPLIT') {
    const joined = new Uint8Array(count * width);
    for (let k = 0; k < width; k++)
      for (let i = 0; i < count; i++) joined[i * width + k] = plain[k * count + i]!;
    plain = joined;
  }
  return toFloat32(elementsOf(plain, DTYPES[type]), DTYPES[type], what);
}
