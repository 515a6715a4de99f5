/**
 * Files that are there whole or not at all: written under another name, flushed to the disk, renamed. After a crash or on a
 * full disk the earlier file is as it was.
 */
import { access, mkdir, open, readdir, rename, rm, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Chunks, FolderWriter } from './types.ts';

/** One system call writes at most this: Node refuses 2 GiB, and a signal should not wait for seconds. */
const MAX_WRITE = 64 * 2 ** 20;

/** The disk or the quota is full. Whatever was on the disk before is as it was. */
export class StorageFull extends Error {
  override readonly name = 'StorageFull';
}

/** The file operations that can fail for lack of space; tests put a failing disk here. */
export type Disk = {
  open(
    path: string,
    flags: string,
  ): Promise<{
    write(bytes: Uint8Array, offset: number, length: number): Promise<{ bytesWritten: number }>;
    sync(): Promise<void>;
    close(): Promise<void>;
  }>;
  rename(from: string, to: string): Promise<void>;
};
export const disk: Disk = { open, rename };

const size = (bytes: number): string =>
  bytes >= 1e9
    ? `${(bytes / 1e9).toFixed(1)} GB`
    : bytes >= 1e6
      ? `${(bytes / 1e6).toFixed(1)} MB`
      : `${bytes} bytes`;

/** Says what a full disk means; other errors pass unchanged. `needed` is in bytes. */
export async function explainFull(
  error: unknown,
  { path, what, needed, intact }: { path: string; what: string; needed: number; intact: string },
): Promise<unknown> {
  const { code } = error as NodeJS.ErrnoException;
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error;
  const bytes = await freeBytes(dirname(path));
  const free = bytes === undefined ? '' : `, ${size(bytes)} free`;
  const reason = code === 'EDQUOT' ? 'The disk quota is used up' : 'No space left on the disk';
  return new StorageFull(
    `${reason} while writing ${what} to ${path} (${size(needed)} needed${free}). ${intact} Free some space and run again.`,
    { cause: error },
  );
}

/** On the disk of a folder that need not be there yet. */
async function freeBytes(folder: string): Promise<number | undefined> {
  try {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  } catch {
    const parent = dirname(folder);
    return parent === folder ? undefined : await freeBytes(parent);
  }
}

/** Flushes a folder's list of names, so that a rename outlives a power cut. Not every system can. */
export async function syncFolder(path: string): Promise<void> {
  try {
    const handle = await open(path, 'r');
    await handle.sync().finally(() => handle.close());
  } catch {
    // Windows cannot open folders; there the rename itself is journalled.
  }
}

/** Writes a new file and flushes it. Throws when the chunks are not `byteLength` bytes together. */
export async function writeFlushed(
  path: string,
  chunks: Chunks,
  byteLength: number,
  on: Disk = disk,
): Promise<void> {
  const handle = await on.open(path, 'w');
  try {
    let written = 0;
    for await (const chunk of chunks) {
      for (let at = 0; at < chunk.length; ) {
        const { bytesWritten } = await handle.write(chunk, at, Math.min(chunk.length - at, MAX_WRITE));
        at += bytesWritten;
      }
      written += chunk.length;
    }
    if (written !== byteLength)
      throw new Error(
        `${path}: ${written} bytes were written, ${byteLength} announced; the file was not kept`,
      );
    await handle.sync();
  } finally {
    await handle.close();
  }
}

let temporaries = 0;

/** Whether a name is one that `writeAtomic` gives to a file that is not whole yet. */
export const isTemporary = (name: string): boolean => /\.tmp-\d+-\d+$/.test(name);

/** Removes what a crash left of `writeAtomic`. Only for the one writer of a folder. */
export async function removeTemporaries(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => []))
    if (isTemporary(name)) await rm(join(folder, name), { force: true });
}

/**
 * Writes a file whole or not at all. Its folder is made when it is missing.
 *
 * @param what what it is, for messages: `the SAE's weights`
 * @throws StorageFull on a full disk, with the bytes needed and free; `path` keeps its earlier content
 */
export async function writeAtomic(
  path: string,
  chunks: Chunks,
  { byteLength, what, on = disk }: { byteLength: number; what: string; on?: Disk },
): Promise<void> {
  const temporary = `${path}.tmp-${process.pid}-${temporaries++}`;
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFlushed(temporary, chunks, byteLength, on);
    await on.rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    const before = await access(path).then(
      () => true,
      () => false,
    );
    const intact = before ? `${path} keeps its earlier content.` : `${path} was not created.`;
    throw await explainFull(error, { path, what, needed: byteLength, intact });
  }
  await syncFolder(dirname(path));
}

/** Writes JSON with two-space indentation, whole or not at all. */
export async function writeJson(path: string, value: unknown, what: string, on: Disk = disk): Promise<void> {
  const bytes = new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`);
  await writeAtomic(path, [bytes], { byteLength: bytes.length, what, on });
}

/** A folder to write files into, each whole or not at all. The folder is made when it is missing. */
export function folderWriter(folder: string, on: Disk = disk): FolderWriter {
  return {
    name: folder,
    write: (file, chunks, byteLength) =>
      writeAtomic(join(folder, file), chunks, { byteLength, what: file, on }),
  };
}
