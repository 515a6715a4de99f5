/**
 * One file of the hub -> one blob of the cache.
 *
 * The bytes come into HASH.incomplete, a broken connection or a stopped process goes on from there by Range, and the blob gets its
 * name only when size and hash are right (sha256 of large files, git's blob id of small ones). Several may load the same blob at
 * once: each writes the same bytes to the same places of one file that is never cut, so no lock is needed, and the slower one finds the
 * blob in place.
 */
import { createHash, type Hash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isThere } from './cache.ts';
import { type Hub, RETRIES } from './connect.ts';
import { answer, HubError } from './errors.ts';
import { repoPath } from './settings.ts';
import type { HubFile, HubId } from './types.ts';

/** sha256 for large files; git's own id, sha1 over a header and the bytes, for the others. */
function hasherOf({ hash, size }: HubFile): Hash {
  return hash.length === 64 ? createHash('sha256') : createHash('sha1').update(`blob ${size}\0`);
}

export const fileUrl = (hub: Hub, id: HubId, commit: string, path: string): string =>
  `${hub.endpoint}/${repoPath(id)}/resolve/${commit}/${path.split('/').map(encodeURIComponent).join('/')}`;

/**
 * Loads a blob, going on where an earlier try ended.
 *
 * @param onBytes told of every stretch of bytes, first of those that were there already
 */
export async function downloadBlob(
  hub: Hub,
  { id, commit, file, blob }: { id: HubId; commit: string; file: HubFile; blob: string },
  onBytes: (bytes: number) => void,
): Promise<void> {
  const incomplete = `${blob}.incomplete`;
  await mkdir(dirname(blob), { recursive: true });
  if ((await sizeOf(incomplete)) > file.size) await rm(incomplete, { force: true });
  let hasher = hasherOf(file);
  let at = 0;
  // Not by name from here on: whoever is done first gives the file its own name.
  const handle = await open(incomplete, constants.O_RDWR | constants.O_CREAT);
  const { ino, size: there } = await handle.stat();
  try {
    if (there > 0) {
      const before = handle.createReadStream({ end: there - 1, start: 0, autoClose: false });
      for await (const chunk of before as AsyncIterable<Uint8Array>) {
        hasher.update(chunk);
        at += chunk.length;
      }
    }
    onBytes(at);
    for (let attempt = 1; at < file.size; attempt++) {
      const begun = at;
      const response = await requestFrom(hub, { id, commit, file, at });
      if (at > 0 && response.status !== 206) {
        // The server knows no ranges: from the start.
        onBytes(-at);
        at = 0;
        hasher = hasherOf(file);
      }
      let failure: unknown;
      try {
        for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
          if (at + chunk.length > file.size)
            throw new HubError(
              `${id.name}/${file.path}: more than the ${file.size} bytes that the hub lists.`,
            );
          await writeAll(handle, chunk, at);
          hasher.update(chunk);
          at += chunk.length;
          onBytes(chunk.length);
        }
      } catch (error) {
        hub.signal?.throwIfAborted();
        // Ours, or the disk's, which alone has a code of its own: another try would not help.
        if (error instanceof HubError || (error as NodeJS.ErrnoException).code) throw error;
        failure = error;
      }
      if (at >= file.size) break;
      if (at > begun) attempt = 0;
      if (attempt > RETRIES) throw broken(id, file, at, failure);
      await hub.pause(attempt + 1);
    }
    await handle.sync();
  } catch (error) {
    throw explainFull(error, id, file, blob);
  } finally {
    await handle.close();
  }
  const found = hasher.digest('hex');
  if (found !== file.hash) {
    await rm(incomplete, { force: true });
    throw new HubError(
      `${id.name}/${file.path}: its hash is ${found}, the hub lists ${file.hash}. The bytes were thrown away; run again.`,
    );
  }
  // Somebody else may have named it, and a third begun another.
  const named = await stat(incomplete).then(
    (now) => now.ino === ino,
    () => false,
  );
  if (named)
    await rename(incomplete, blob).catch(async (error: unknown) => {
      if (!(await isThere(blob))) throw error;
    });
  else if (!(await isThere(blob)))
    throw new HubError(`${id.name}/${file.path}: ${blob} was removed while it was loaded. Run again.`);
}

const sizeOf = (path: string): Promise<number> =>
  stat(path).then(
    ({ size }) => size,
    () => 0,
  );

async function requestFrom(
  hub: Hub,
  { id, commit, file, at }: { id: HubId; commit: string; file: HubFile; at: number },
): Promise<Response> {
  const headers: Record<string, string> = { 'accept-encoding': 'identity' };
  if (at > 0) headers.range = `bytes=${at}-`;
  const response = await hub.fetch(fileUrl(hub, id, commit, file.path), { headers });
  if (response.status === 206 && !response.headers.get('content-range')?.startsWith(`bytes ${at}-`))
    throw new HubError(`${id.name}/${file.path}: asked for bytes from ${at}, got other ones.`);
  return await answer(hub, id, response, file.path);
}

async function writeAll(handle: FileHandle, chunk: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < chunk.length; ) {
    const { bytesWritten } = await handle.write(chunk, done, chunk.length - done, at + done);
    done += bytesWritten;
  }
}

function broken(id: HubId, { path, size }: HubFile, at: number, cause: unknown): Error {
  return new HubError(
    `${id.name}/${path}: the connection broke at byte ${at} of ${size}, several times. Run again to go on from there.`,
    { cause },
  );
}

/** Says what a full disk means here; other errors pass. */
export function explainFull(error: unknown, id: HubId, { path, size }: HubFile, blob: string): unknown {
  const { code = '' } = error as NodeJS.ErrnoException;
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error;
  return Object.assign(
    new Error(
      `No space left for ${id.name}/${path} (${size} bytes) in ${dirname(blob)}. Free some space and run again, which goes on from there, or set HF_HOME to a folder on a larger disk.`,
    ),
    { code },
  );
}
