/** Files of other programs: which lie in a folder, how many are open at once, and how their content is told apart. */
import { createHash } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { openFile } from '../../../platform/node.ts';
import type { ByteSource } from '../../../platform/types.ts';
import { didYouMean } from '../../../shared/nearest.ts';

/** Handles held at the same time: a cache may have ten thousand files, a process about a thousand handles. */
const MAX_OPEN = 64;

export type StoredFile = { readonly path: string; readonly name: string; readonly source: ByteSource };

/** Opens files when they are read, and closes those that were not for longest. */
export type FilePool = {
  /** Looked at before every read. Once it is raised, no other error is of interest. */
  readonly signal: AbortSignal | undefined;
  file(path: string): Promise<StoredFile>;
  close(): Promise<void>;
};

/** `signal` stops whatever is reading: opening a large cache as well as a block of rows. */
export function createFilePool({
  maxOpen = MAX_OPEN,
  signal,
}: {
  readonly maxOpen?: number;
  readonly signal?: AbortSignal | undefined;
} = {}): FilePool {
  type Handle = { opened: Promise<ByteSource>; users: number };
  const handles = new Map<string, Handle>();
  function release(path: string): Promise<void> {
    const handle = handles.get(path)!;
    handles.delete(path);
    return handle.opened.then(
      (source) => source.close?.(),
      () => {},
    );
  }
  return {
    signal,
    async file(path) {
      signal?.throwIfAborted();
      const byteLength = (await stat(path)).size;
      async function use<T>(read: (opened: ByteSource) => Promise<T>): Promise<T> {
        signal?.throwIfAborted();
        const handle: Handle = handles.get(path) ?? { opened: openFile(path), users: 0 };
        handles.delete(path);
        handles.set(path, handle);
        handle.users++;
        try {
          for (const [other, { users }] of handles)
            if (handles.size > maxOpen && users === 0) await release(other);
          const opened = await handle.opened;
          if (opened.byteLength !== byteLength)
            throw new Error(
              `${path}: it had ${byteLength} bytes when it was opened and has ${opened.byteLength} now`,
            );
          return await read(opened);
        } finally {
          handle.users--;
        }
      }
      const source: ByteSource = {
        byteLength,
        slice: (start, end) => use((opened) => opened.slice(start, end)),
        readInto: (start, into) => use((opened) => opened.readInto!(start, into)),
      };
      return { path, name: basename(path), source };
    },
    async close() {
      await Promise.all([...handles.keys()].map(release));
    },
  };
}

/** What lies in a folder, hidden names left out, `shard-2` before `shard-10`. */
export async function listFolder(path: string): Promise<{ files: string[]; folders: string[] }> {
  const entries = (await readdir(path)).filter((name) => !name.startsWith('.'));
  entries.sort((a, b) => a.localeCompare(b, 'en', { numeric: true }) || (a < b ? -1 : 1));
  const files: string[] = [];
  const folders: string[] = [];
  for (const name of entries) {
    const info = await stat(join(path, name)).catch(() => undefined);
    if (info?.isFile()) files.push(name);
    else if (info?.isDirectory()) folders.push(name);
  }
  return { files, folders };
}

/** The error for a path that is not there, with names near it. */
export async function noSuchPath(path: string): Promise<Error> {
  const names = await readdir(dirname(path)).catch(() => undefined);
  if (!names) return new Error(`${path}: no such file, and no folder ${dirname(path)} either`);
  return new Error(`${path}: no such file or folder.${didYouMean(basename(path), names)}`);
}

/** Bytes hashed of a file at its beginning, middle and end: all of it would take as long as training. */
const SAMPLE_BYTES = 4096;

/** Tells contents apart: names, sizes and some bytes of the files, and what was chosen from them. */
export async function fingerprintOf(files: readonly StoredFile[], chosen: string): Promise<string> {
  const hash = createHash('sha256').update(chosen);
  for (const { name, source } of files) {
    const { byteLength } = source;
    hash.update(`\0${name}\0${byteLength}\0`);
    for (const at of [0, Math.floor(byteLength / 2), Math.max(0, byteLength - SAMPLE_BYTES)])
      hash.update(await source.slice(at, Math.min(byteLength, at + SAMPLE_BYTES)));
  }
  return hash.digest('hex');
}

/** Reads a small JSON file beside the data, when it is there and is an object. */
export async function readJsonBeside(
  pool: FilePool,
  path: string,
): Promise<Readonly<Record<string, unknown>> | undefined> {
  const bytes = await pool.file(path).then(
    ({ source }) => (source.byteLength < 2 ** 24 ? source.slice(0, source.byteLength) : undefined),
    () => undefined,
  );
  if (!bytes) return undefined;
  try {
    const json: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return typeof json === 'object' && json !== null ? (json as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
