/**
 * Unpacks a tar archive: regular files into one folder. Headers are blocks of 512 bytes (POSIX ustar; long names as pax or GNU write
 * them), then the file's bytes, padded to whole blocks.
 */
import { mkdir, open } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';

const BLOCK = 512;
/** Of a header's own data: names. */
const MAX_NAME_BYTES = 64 * 1024;

export type UntarOptions = {
  /** For messages. */
  readonly name: string;
  /** Bytes of all files together, at most. */
  readonly maxBytes: number;
  /** Bytes written so far. */
  readonly onBytes?: (done: number) => void;
  readonly signal?: AbortSignal;
};

const text = (bytes: Uint8Array): string => {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
};

/** Octal, or binary where the first bit is set. */
function number(bytes: Uint8Array): number {
  if (bytes[0]! & 128) return bytes.subarray(1).reduce((sum, byte) => sum * 256 + byte, bytes[0]! & 127);
  const digits = text(bytes).trim();
  return digits === '' ? 0 : Number(`0o${digits}`);
}

/** `path` and `size` of a pax header: lines of "LENGTH KEY=VALUE". */
function pax(bytes: Uint8Array): { path?: string; size?: number } {
  const found: { path?: string; size?: number } = {};
  for (const line of new TextDecoder().decode(bytes).split('\n')) {
    const [, key, value = ''] = /^\d+ ([^=]+)=(.*)$/.exec(line) ?? [];
    if (key === 'path') found.path = value;
    if (key === 'size') found.size = Number(value);
  }
  return found;
}

/** Where a file goes. @throws when its name leaves the folder */
function placeOf(folder: string, path: string, name: string): string {
  const plain =
    path.split('/').every((part) => part !== '..' && part !== '') && !/^[/\\]|[\\\0]|^[A-Za-z]:/.test(path);
  const place = join(folder, path);
  if (!plain || !place.startsWith(folder + sep))
    throw new Error(
      `${name} holds a file ${JSON.stringify(path)}, which would lie outside of its folder. It was not unpacked.`,
    );
  return place;
}

/**
 * @throws for a name that leaves the folder, a link, more than `maxBytes`, a damaged or cut-off archive
 */
export async function untar(
  chunks: AsyncIterable<Uint8Array>,
  folder: string,
  { name, maxBytes, onBytes, signal }: UntarOptions,
): Promise<void> {
  const input = chunks[Symbol.asyncIterator]();
  let rest: Uint8Array = new Uint8Array(0);
  const cut = (): Error => new Error(`${name} is damaged or cut off. Download it again.`);

  /** The next bytes, at most `most` of them; none at the end. */
  async function some(most: number): Promise<Uint8Array> {
    while (rest.length === 0) {
      const { value, done } = await input.next();
      if (done) return rest;
      rest = value;
    }
    const part = rest.subarray(0, most);
    rest = rest.subarray(part.length);
    return part;
  }
  async function exactly(length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length; ) {
      const part = await some(length - at);
      if (part.length === 0) throw cut();
      bytes.set(part, at);
      at += part.length;
    }
    return bytes;
  }

  let written = 0;
  let next: { path?: string; size?: number } = {};
  for (;;) {
    signal?.throwIfAborted();
    const header = await exactly(BLOCK);
    if (header.every((byte) => byte === 0)) return;
    const field = (start: number, length: number) => header.subarray(start, start + length);
    const sum = header.reduce((a, byte, i) => a + (i >= 148 && i < 156 ? 32 : byte), 0);
    if (sum !== number(field(148, 8))) throw cut();
    const size = next.size ?? number(field(124, 12));
    if (!Number.isSafeInteger(size) || size < 0) throw cut();
    const padding = (BLOCK - (size % BLOCK)) % BLOCK;
    const kind = String.fromCharCode(header[156]!);
    if (kind === 'x' || kind === 'L' || kind === 'g') {
      if (size > MAX_NAME_BYTES) throw cut();
      const data = await exactly(size);
      await exactly(padding);
      if (kind === 'x') next = pax(data);
      if (kind === 'L') next = { path: text(data) };
      continue;
    }
    const prefix = text(field(257, 5)) === 'ustar' ? text(field(345, 155)) : '';
    const path = next.path ?? [prefix, text(field(0, 100))].filter(Boolean).join('/');
    next = {};
    // Folders are made where files need them.
    if (kind === '5') continue;
    if (kind !== '0' && kind !== '\0')
      throw new Error(
        `${name} holds ${JSON.stringify(path)}, which is no plain file but a link or a device. It was not unpacked.`,
      );
    if (written + size > maxBytes)
      throw new Error(`${name} unpacks to more than ${Math.round(maxBytes / 1e6)} MB. It was not unpacked.`);
    const place = placeOf(folder, path, name);
    await mkdir(dirname(place), { recursive: true });
    const file = await open(place, 'wx');
    try {
      for (let left = size; left > 0; ) {
        signal?.throwIfAborted();
        const part = await some(left);
        if (part.length === 0) throw cut();
        await file.writeFile(part);
        left -= part.length;
        written += part.length;
        onBytes?.(written);
      }
    } finally {
      await file.close();
    }
    await exactly(padding);
  }
}
