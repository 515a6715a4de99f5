/** Ranges of many files, of which only some are open at a time. */
import { type FileHandle, open } from 'node:fs/promises';
import type { ScannedFile } from './scan.ts';

/** Files held open for reading; a corpus may have thousands. */
const MAX_OPEN_FILES = 64;

export function filePool(files: readonly ScannedFile[]): {
  read(file: number, start: number, bytes: number): Promise<Uint8Array>;
  close(): Promise<void>;
} {
  const handles = new Map<number, FileHandle>();
  async function readNow(file: number, start: number, bytes: number): Promise<Uint8Array> {
    let handle = handles.get(file);
    // Moved to the end of the map: the first entry is the one used longest ago.
    if (handle) handles.delete(file);
    else handle = await open(files[file]!.readPath, 'r');
    handles.set(file, handle);
    if (handles.size > MAX_OPEN_FILES) {
      const [oldest, old] = handles.entries().next().value!;
      handles.delete(oldest);
      await old.close();
    }
    const buffer = new Uint8Array(bytes);
    const { bytesRead } = await handle.read(buffer, 0, bytes, start);
    if (bytesRead < bytes) {
      throw new Error(
        `${files[file]!.path}: shorter than when it was scanned. Do not change data files during a run.`,
      );
    }
    return buffer;
  }
  let last: Promise<unknown> = Promise.resolve();
  return {
    // One at a time: callers may ask for many documents at once, and the pool must not open a file twice.
    read(file, start, bytes) {
      const result = last.then(() => readNow(file, start, bytes));
      last = result.catch(() => {});
      return result;
    },
    async close() {
      await last;
      for (const handle of handles.values()) await handle.close();
      handles.clear();
    },
  };
}
