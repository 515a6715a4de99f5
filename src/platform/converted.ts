/**
 * Folders made from one large file, kept in the user's cache beside the sha256 of that file:
 *
 *     HF_HOME/assets/saekit/gguf/SHA256-vN/       the folder; it appears by one rename, whole
 *     HF_HOME/assets/saekit/gguf/seen/KEY.json    sha256 of a file that was read before, by path, size and time
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, readFile, rename, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { hubSettings, isThere, makeWholeFolder } from '../hub/index.ts';
import type { HubAccess } from '../hub/types.ts';
import type { ByteSource, Conversion } from './types.ts';

const READ_BYTES = 8 * 2 ** 20;
/** Room left on the disk beside what is written. */
const SPARE_BYTES = 64 * 2 ** 20;

/** Where converted models lie. */
export const convertedRoot = (): string => join(hubSettings().assets, 'gguf');

const megabytes = (bytes: number): string => `${Math.round(bytes / 1e6).toLocaleString('en')} MB`;

/** The sha256 of a file: read once, then remembered as long as path, size and time of change stay. */
async function fileHash(
  source: ByteSource & { readonly realPath: string },
  name: string,
  { signal, onDownload }: HubAccess,
): Promise<string> {
  const info = await stat(source.realPath, { bigint: true });
  const state = `${info.size} ${info.mtimeNs} ${info.ino}`;
  const key = createHash('sha256').update(source.realPath).digest('hex').slice(0, 32);
  const note = join(convertedRoot(), 'seen', `${key}.json`);
  const known = await readFile(note, 'utf8')
    .then(JSON.parse, () => undefined)
    .catch(() => undefined);
  if (known?.state === state && /^[0-9a-f]{64}$/.test(known.sha256)) return known.sha256;
  const hash = createHash('sha256');
  const total = source.byteLength;
  for (let at = 0; at < total; at += READ_BYTES) {
    signal?.throwIfAborted();
    onDownload?.({ name: `${name}: checksum`, done: at, total });
    hash.update(await source.slice(at, Math.min(total, at + READ_BYTES)));
  }
  onDownload?.({ name: `${name}: checksum`, done: total, total });
  const sha256 = hash.digest('hex');
  const temporary = `${note}.tmp-${randomUUID()}`;
  try {
    await mkdir(dirname(note), { recursive: true });
    await writeFile(temporary, JSON.stringify({ path: source.realPath, state, sha256 }));
    await rename(temporary, note);
  } catch {
    // A cache that cannot be written to, shared by many: the file is read again next time.
    await rm(temporary, { force: true }).catch(() => undefined);
  }
  return sha256;
}

async function writeFlushed(
  path: string,
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<void> {
  const handle = await open(path, 'wx');
  try {
    for await (const chunk of chunks) await handle.writeFile(chunk);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * The folder that `convert` makes of a file, made now or found in the cache. Nothing is kept of a conversion that fails or is stopped.
 *
 * @throws when the disk has no room, with the sizes; what `convert` throws; the signal's reason
 */
export async function convertedFolder(
  source: ByteSource & { readonly realPath: string },
  name: string,
  { version, convert }: Conversion,
  access: HubAccess,
): Promise<string> {
  const { signal, onDownload, onNote } = access;
  const root = convertedRoot();
  const sha256 = await fileHash(source, name, access);
  const folder = join(root, `${sha256}-v${version}`);
  if (await isThere(folder)) return folder;

  const { files, large, note } = await convert(source, name, sha256);
  const total = large.byteLength + [...files.values()].reduce((sum, file) => sum + file.length, 0);
  await makeWholeFolder(folder, async (temporary) => {
    const { bavail, bsize } = await statfs(root);
    if (total + SPARE_BYTES > bavail * bsize)
      throw new Error(
        `${name}: in float32 it takes ${megabytes(total)}, and ${megabytes(bavail * bsize)} are free where ${root} lies. Free some space, or set HF_HOME to a folder on another disk.`,
      );
    onNote?.(
      `${name}: ${note}, ${megabytes(source.byteLength)}. Written once as float32, ${megabytes(total)}, to ${folder}`,
    );
    for (const [file, bytes] of files) await writeFlushed(join(temporary, file), [bytes]);
    await writeFlushed(join(temporary, large.file), counted());
    signal?.throwIfAborted();
  });
  return folder;

  async function* counted(): AsyncGenerator<Uint8Array> {
    let done = 0;
    const title = `${name}: to float32`;
    onDownload?.({ name: title, done, total: large.byteLength });
    for await (const chunk of large.chunks(signal)) {
      yield chunk;
      done += chunk.length;
      onDownload?.({ name: title, done, total: large.byteLength });
    }
  }
}
