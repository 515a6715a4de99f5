/**
 * A file of the hub read by range. A short read takes READ_AHEAD bytes, because what is read next mostly stands next to it, and the last
 * few such windows are kept; long reads are passed on as they are. So a Parquet file costs its footer and the columns that are read.
 */
import { type Hub, RETRIES } from './connect.ts';
import { fileUrl } from './download.ts';
import { answer, HubError } from './errors.ts';
import type { HubFile, HubId } from './types.ts';

const READ_AHEAD = 64 * 1024;
const KEPT = 4;

export type RemoteFile = {
  readonly byteLength: number;
  slice(start: number, end: number): Promise<Uint8Array>;
};

export function openRemote(hub: Hub, id: HubId, commit: string, file: HubFile): RemoteFile {
  const url = fileUrl(hub, id, commit, file.path);
  const windows: { start: number; bytes: Uint8Array }[] = [];

  async function read(start: number, end: number): Promise<Uint8Array> {
    for (let attempt = 1; ; attempt++) {
      const headers = { range: `bytes=${start}-${end - 1}`, 'accept-encoding': 'identity' };
      const response = await answer(hub, id, await hub.fetch(url, { headers }), file.path);
      if (response.status !== 206) {
        await response.body?.cancel();
        throw new HubError(
          `${id.name}/${file.path}: the server reads no ranges, and ${file.size} bytes are too many to download whole.`,
        );
      }
      let failure: unknown;
      try {
        const bytes = new Uint8Array(await response.arrayBuffer());
        if (bytes.length === end - start) return bytes;
      } catch (error) {
        hub.signal?.throwIfAborted();
        failure = error;
      }
      if (attempt > RETRIES)
        throw new HubError(
          `${id.name}/${file.path}: the connection broke at bytes ${start} to ${end}, several times. Run again.`,
          {
            cause: failure,
          },
        );
      await hub.pause(attempt);
    }
  }

  return {
    byteLength: file.size,
    async slice(start, end) {
      if (!(start >= 0 && start <= end && end <= file.size))
        throw new RangeError(
          `${file.path}: bytes ${start} to ${end} were asked for, but it has ${file.size}`,
        );
      if (start === end) return new Uint8Array(0);
      if (end - start >= READ_AHEAD) return await read(start, end);
      const kept = windows.find((one) => start >= one.start && end <= one.start + one.bytes.length);
      if (kept) return kept.bytes.slice(start - kept.start, end - kept.start);
      const bytes = await read(start, Math.min(file.size, start + READ_AHEAD));
      windows.push({ start, bytes });
      if (windows.length > KEPT) windows.shift();
      return bytes.slice(0, end - start);
    },
  };
}
