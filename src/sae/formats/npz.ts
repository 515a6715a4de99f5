/** Zip archives of stored entries; and .npz of float32 arrays as np.savez writes them, each entry a .npy of version 1. */
import { crc32 } from '../../formats/index.ts';
import type { FolderWriter } from '../../store/types.ts';
import { bytesOf, type NamedArray } from './write.ts';

/** 93 "NUMPY" 1 0 n {'descr': …}, padded so that the data begins at a multiple of 64. */
function npyHead(shape: readonly number[]): Uint8Array {
  const text = `{'descr': '<f4', 'fortran_order': False, 'shape': (${shape.join(', ')}${shape.length === 1 ? ',' : ''}), }`;
  const length = Math.ceil((10 + text.length + 1) / 64) * 64 - 10;
  const head = new Uint8Array(10 + length).fill(0x20);
  head.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, length & 255, length >> 8]);
  head.set(new TextEncoder().encode(text), 10);
  head[head.length - 1] = 10;
  return head;
}

/** A zip record: 16- and 32-bit fields, little-endian, in the order given. */
function record(fields: readonly (readonly [bytes: 2 | 4 | 8, value: number])[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(fields.reduce((sum, [bytes]) => sum + bytes, 0)));
  let at = 0;
  for (const [bytes, value] of fields) {
    if (bytes === 2) view.setUint16(at, value, true);
    else if (bytes === 4) view.setUint32(at, value, true);
    else view.setBigUint64(at, BigInt(value), true);
    at += bytes;
  }
  return new Uint8Array(view.buffer);
}

/** 1 January 1980, so that the same arrays give the same bytes. */
const DATE = 33;

type StoredEntry = { readonly name: string; readonly pieces: readonly Uint8Array[] };

/** Writes a zip of stored entries. @throws when it comes to 4 GiB, which needs the long form of zip */
export async function writeZip(
  folder: FolderWriter,
  file: string,
  entries: readonly StoredEntry[],
): Promise<void> {
  const chunks: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let at = 0;
  const push = (bytes: Uint8Array): void => {
    chunks.push(bytes);
    at += bytes.length;
  };
  for (const { name, pieces } of entries) {
    const label = new TextEncoder().encode(name);
    const [size, crc, offset] = [pieces.reduce((sum, { length }) => sum + length, 0), crc32(pieces), at];
    if (offset + size >= 2 ** 32 - 2 ** 16)
      throw new Error(
        `${file}: ${name} does not fit into a zip of 4 GiB. Write safetensors instead (sparsify, SAELens).`,
      );
    const common = [
      [2, 20],
      [2, 0],
      [2, 0],
      [2, 0],
      [2, DATE],
      [4, crc],
      [4, size],
      [4, size],
      [2, label.length],
      [2, 0],
    ] as const;
    push(record([[4, 0x04034b50], ...common]));
    push(label);
    for (const piece of pieces) push(piece);
    directory.push(
      record([[4, 0x02014b50], [2, 20], ...common, [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]]),
      label,
    );
  }
  const start = at;
  for (const bytes of directory) push(bytes);
  push(
    record([
      [4, 0x06054b50],
      [2, 0],
      [2, 0],
      [2, entries.length],
      [2, entries.length],
      [4, at - start],
      [4, start],
      [2, 0],
    ]),
  );
  await folder.write(file, chunks, at);
}

/** @throws as `writeZip` */
export const writeNpz = (folder: FolderWriter, file: string, arrays: readonly NamedArray[]): Promise<void> =>
  writeZip(
    folder,
    file,
    arrays.map(({ name, shape, data }) => ({ name: `${name}.npy`, pieces: [npyHead(shape), bytesOf(data)] })),
  );
