/**
 * Zip archives (APPNOTE 6.3), as far as .npz needs them: stored entries are read where they lie, deflated ones are inflated once.
 *
 *     entries … | central directory: one record per entry | [zip64 end] | end record, at most 65,557 bytes before the end
 */
import { Inflate } from 'fflate';
import { fromBytes } from '../platform/index.ts';
import type { ByteSource } from '../platform/types.ts';

const END = 0x06054b50;
const END64 = 0x06064b50;
const LOCATOR64 = 0x07064b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;

const MAX_DIRECTORY_BYTES = 64 * 2 ** 20;
const MAX_ENTRIES = 100_000;
/** Inflated entries are held in memory. */
export const MAX_INFLATED_BYTES = 2 ** 31;
const INFLATE_STEP = 2 ** 20;
const HEAD_BYTES = 2 ** 17;

export type ZipEntry = {
  readonly name: string;
  /** Unpacked, as the directory announces; a compressed entry that unpacks to more is refused. */
  readonly byteLength: number;
  /** Whether opening it unpacks it into memory. */
  readonly compressed: boolean;
  /** The unpacked bytes: a range of the archive, or inflated into memory. */
  open(): Promise<ByteSource>;
  /** The same, but only the first HEAD_BYTES can be read: to see what it is. */
  head(): Promise<ByteSource>;
};

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c;
});

/** CRC-32 of pieces one after the other. */
export function crc32(pieces: readonly Uint8Array[]): number {
  let crc = 0xffffffff;
  for (const bytes of pieces)
    for (let i = 0; i < bytes.length; i++) crc = CRC_TABLE[(crc ^ bytes[i]!) & 255]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const big = (view: DataView, at: number): number => Number(view.getBigUint64(at, true));

/** A range of a source as a source of its own. */
function within(source: ByteSource, start: number, byteLength: number): ByteSource {
  return {
    byteLength,
    slice: (from, to) => source.slice(start + from, start + to),
    ...(source.local ? { local: async () => within(await source.local!(), start, byteLength) } : {}),
  };
}

/** Where the central directory lies. */
async function findDirectory(
  source: ByteSource,
  name: string,
): Promise<{ start: number; size: number; count: number }> {
  const tailStart = Math.max(0, source.byteLength - 65_557);
  const tail = viewOf(await source.slice(tailStart, source.byteLength));
  let at = tail.byteLength - 22;
  while (at >= 0 && tail.getUint32(at, true) !== END) at--;
  if (at < 0)
    throw new Error(`${name}: no end record: not a zip archive, or truncated. Copy or save it again.`);
  const found = {
    count: tail.getUint16(at + 10, true),
    size: tail.getUint32(at + 12, true),
    start: tail.getUint32(at + 16, true),
  };
  if (at >= 20 && tail.getUint32(at - 20, true) === LOCATOR64) {
    const at64 = big(tail, at - 12);
    if (at64 + 56 > source.byteLength) throw new Error(`${name}: damaged zip64 end record`);
    const end64 = viewOf(await source.slice(at64, at64 + 56));
    if (end64.getUint32(0, true) !== END64) throw new Error(`${name}: damaged zip64 end record`);
    return { count: big(end64, 32), size: big(end64, 40), start: big(end64, 48) };
  }
  return found;
}

/** Sizes and offset of an entry, from its zip64 field where the plain ones are full. */
function sizesOf(record: DataView, nameLength: number, extraLength: number): [number, number, number] {
  let size = record.getUint32(24, true);
  let packed = record.getUint32(20, true);
  let offset = record.getUint32(42, true);
  for (let at = 46 + nameLength, end = at + extraLength; at + 4 <= end; ) {
    const length = record.getUint16(at + 2, true);
    if (record.getUint16(at, true) === 1) {
      let next = at + 4;
      const take = (plain: number): number => {
        if (plain !== 0xffffffff || next + 8 > at + 4 + length) return plain;
        next += 8;
        return big(record, next - 8);
      };
      size = take(size);
      packed = take(packed);
      offset = take(offset);
    }
    at += 4 + length;
  }
  return [size, packed, offset];
}

/** The first `wanted` of the `size` bytes that `packed` unpacks to. */
async function inflate(packed: ByteSource, size: number, wanted: number, what: string): Promise<Uint8Array> {
  const out = new Uint8Array(wanted);
  let length = 0;
  const stream = new Inflate((chunk) => {
    if (length + chunk.length > size)
      throw new Error(`it unpacks to more than the ${size} bytes that the archive announces`);
    out.set(chunk.subarray(0, Math.max(0, wanted - length)), Math.min(length, wanted));
    length += chunk.length;
  });
  const step = Math.min(INFLATE_STEP, wanted);
  try {
    for (let at = 0; at < packed.byteLength && (wanted === size || length < wanted); at += step) {
      const end = Math.min(packed.byteLength, at + step);
      stream.push(await packed.slice(at, end), end === packed.byteLength);
    }
    if (length < wanted) throw new Error(`it unpacks to ${length} bytes instead of ${size}`);
  } catch (error) {
    throw new Error(`${what}: damaged: ${(error as Error).message}. Copy or save it again.`, {
      cause: error,
    });
  }
  return out;
}

/**
 * Reads the central directory.
 *
 * @throws when the archive is truncated, damaged, encrypted or beyond the ceilings; the message names archive and entry
 */
export async function readZip(source: ByteSource, name: string): Promise<ZipEntry[]> {
  const { start, size: bytes, count } = await findDirectory(source, name);
  if (bytes > MAX_DIRECTORY_BYTES || count > MAX_ENTRIES)
    throw new Error(`${name}: ${count} entries in a directory of ${bytes} bytes; at most ${MAX_ENTRIES}`);
  if (start + bytes > source.byteLength)
    throw new Error(
      `${name}: truncated: its directory ends at byte ${start + bytes} of ${source.byteLength}`,
    );
  const directory = viewOf(await source.slice(start, start + bytes));
  const entries: ZipEntry[] = [];
  for (let at = 0; entries.length < count; ) {
    if (at + 46 > bytes || directory.getUint32(at, true) !== CENTRAL)
      throw new Error(`${name}: damaged directory at entry ${entries.length}`);
    const nameLength = directory.getUint16(at + 28, true);
    const extraLength = directory.getUint16(at + 30, true);
    const recordLength = 46 + nameLength + extraLength + directory.getUint16(at + 32, true);
    if (at + recordLength > bytes) throw new Error(`${name}: damaged directory at entry ${entries.length}`);
    const record = new DataView(directory.buffer, directory.byteOffset + at, recordLength);
    const entryName = new TextDecoder().decode(
      new Uint8Array(record.buffer, record.byteOffset + 46, nameLength),
    );
    const what = `${name}, ${entryName}`;
    const method = record.getUint16(10, true);
    if (record.getUint16(8, true) & 1) throw new Error(`${what}: encrypted. Save it without a password.`);
    if (method !== 0 && method !== 8)
      throw new Error(`${what}: compression method ${method}; known are 0 (stored) and 8 (deflate)`);
    const crc = record.getUint32(16, true);
    const [size, packedSize, offset] = sizesOf(record, nameLength, extraLength);
    /** The entry's bytes as they lie in the archive. */
    const locate = async (): Promise<ByteSource> => {
      if (offset + 30 > source.byteLength)
        throw new Error(`${what}: its header lies behind the end of the file`);
      const local = viewOf(await source.slice(offset, offset + 30));
      if (local.getUint32(0, true) !== LOCAL) throw new Error(`${what}: no entry header at byte ${offset}`);
      const data = offset + 30 + local.getUint16(26, true) + local.getUint16(28, true);
      if (data + packedSize > source.byteLength)
        throw new Error(
          `${what}: truncated: it ends at byte ${data + packedSize}, the file has ${source.byteLength}`,
        );
      return within(source, data, packedSize);
    };
    entries.push({
      name: entryName,
      byteLength: size,
      compressed: method !== 0,
      async open() {
        const packed = await locate();
        if (method === 0 && size !== packedSize)
          throw new Error(`${what}: stored, but ${packedSize} bytes are not the ${size} that it announces`);
        if (method === 0) return packed;
        if (size > MAX_INFLATED_BYTES)
          throw new Error(
            `${what}: ${size} bytes when unpacked; compressed entries are held in memory, at most ${MAX_INFLATED_BYTES}. Save with np.savez instead of np.savez_compressed, or as .npy: those are read by range.`,
          );
        const unpacked = await inflate(packed, size, size, what);
        if (crc32([unpacked]) !== crc)
          throw new Error(`${what}: damaged: its checksum is wrong. Copy or save it again.`);
        return fromBytes(unpacked, what);
      },
      async head() {
        const packed = await locate();
        if (method === 0) return packed;
        const first = fromBytes(await inflate(packed, size, Math.min(size, HEAD_BYTES), what), what);
        return { ...first, byteLength: size };
      },
    });
    at += recordLength;
  }
  return entries;
}
