import type { ByteFolder, ByteSource } from './types.ts';

/** Refuses a range that leaves the source; shared by all sources, so that they fail alike. */
export function checkRange(start: number, end: number, byteLength: number, what: string): void {
  if (
    !Number.isSafeInteger(start) ||
    !Number.isSafeInteger(end) ||
    start < 0 ||
    end < start ||
    end > byteLength
  ) {
    throw new RangeError(
      `${what}: bytes [${start}, ${end}) were asked for, but it has ${byteLength}. The file may be truncated.`,
    );
  }
}

/** A byte source over memory. Slices are views, not copies. */
export function fromBytes(bytes: Uint8Array | ArrayBuffer, name = 'buffer'): ByteSource {
  const view = bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes);
  return {
    byteLength: view.byteLength,
    async slice(start, end) {
      checkRange(start, end, view.byteLength, name);
      return view.subarray(start, end);
    },
  };
}

/** A folder whose files are already in memory, such as an upload. `file` names the one that is the model, where it is one file. */
export function folderFromBytes(
  name: string,
  files: ReadonlyMap<string, Uint8Array | ArrayBuffer>,
  file?: string,
): ByteFolder {
  return {
    name,
    ...(file === undefined ? {} : { file }),
    has: async (file) => files.has(file),
    async open(file) {
      const bytes = files.get(file);
      if (!bytes)
        throw new Error(`${name}: no file ${file}; it has ${[...files.keys()].join(', ') || 'none'}.`);
      return fromBytes(bytes, `${name}/${file}`);
    },
  };
}
