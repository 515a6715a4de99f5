/**
 * The browser's side of the seam: blobs, buffers and HTTP ranges, module workers. The ONNX Runtime package is handed
 * in, because a page chooses between its wasm and WebGPU builds.
 */
import { checkRange } from './memory.ts';

export { setPlatform } from './current.ts';

import type { ByteFolder, ByteSource, Ort, Platform, WorkerHandle } from './types.ts';

/** A byte source over a Blob or File. */
export function fromBlob(blob: Blob, name = 'blob'): ByteSource {
  return {
    byteLength: blob.size,
    async slice(start, end) {
      checkRange(start, end, blob.size, name);
      return new Uint8Array(await blob.slice(start, end).arrayBuffer());
    },
  };
}

/** A byte source over a URL, read by HTTP ranges. Throws when the server does not say the size or ignores ranges. */
export async function fromUrl(url: string): Promise<ByteSource> {
  const head = await fetch(url, { method: 'HEAD' });
  if (!head.ok) throw new Error(`${url}: HTTP ${head.status}`);
  const byteLength = Number(head.headers.get('content-length') ?? Number.NaN);
  if (!Number.isSafeInteger(byteLength))
    throw new Error(`${url}: the server sends no Content-Length; download it and pass the bytes`);
  return {
    byteLength,
    async slice(start, end) {
      checkRange(start, end, byteLength, url);
      if (start === end) return new Uint8Array(0);
      const response = await fetch(url, { headers: { range: `bytes=${start}-${end - 1}` } });
      const bytes = new Uint8Array(await response.arrayBuffer());
      if (response.status === 206 && bytes.length === end - start) return bytes;
      if (response.status === 200 && bytes.length === byteLength) return bytes.subarray(start, end);
      throw new Error(
        `${url}: asked for ${end - start} bytes by range, got HTTP ${response.status} with ${bytes.length}`,
      );
    },
  };
}

/** A folder at a URL prefix. */
export function folderFromUrl(prefix: string): ByteFolder {
  const base = prefix.endsWith('/') ? prefix : `${prefix}/`;
  return {
    name: prefix,
    has: async (file) => (await fetch(base + file, { method: 'HEAD' })).ok,
    open: (file) => fromUrl(base + file),
  };
}

function wrapWorker(worker: Worker): WorkerHandle {
  let failure: Error | undefined;
  let reportError: ((error: Error) => void) | undefined;
  let receiver: ((message: unknown) => void) | undefined;
  let stopped: () => void = () => {};
  const early: unknown[] = [];
  const exited = new Promise<void>((resolve) => {
    stopped = resolve;
  });
  worker.onmessage = ({ data }: MessageEvent<{ message?: unknown; stopped?: boolean }>) => {
    if (data.stopped) stopped();
    else if (receiver) receiver(data.message);
    else early.push(data.message);
  };
  worker.onerror = (event) => {
    failure = new Error(event.message);
    reportError?.(failure);
    stopped();
  };
  return {
    postMessage: (message, transfer = []) => worker.postMessage({ message }, [...transfer]),
    onMessage(receive) {
      receiver = receive;
      for (const message of early.splice(0)) receive(message);
    },
    onError(receive) {
      reportError = receive;
      if (failure) receive(failure);
    },
    keepAlive() {},
    async close() {
      worker.postMessage({ stop: true });
      await exited;
      if (failure && !reportError) throw failure;
    },
  };
}

/**
 * The browser's platform.
 *
 * @param options.ort the onnxruntime-web package, any build of it
 * @param options.worker makes the module worker for a name such as `train/worker`: bundlers need to see the literal
 *   `new Worker(new URL(...), { type: 'module' })`, so the page writes it; the module calls `runBrowserWorker`
 */
export function createBrowserPlatform({
  ort,
  worker,
}: {
  ort: Ort;
  worker?: (name: string, data: unknown) => Worker;
}): Platform {
  const threads = navigator.hardwareConcurrency ?? 1;
  return {
    kind: 'browser',
    ort,
    threads,
    sessionThreads: { many: threads, few: threads },
    spawnWorker(name, data) {
      if (!worker)
        throw new Error(`No worker factory was given to createBrowserPlatform, and ${name} needs one`);
      const started = worker(name, data);
      started.postMessage({ start: { name, data } });
      return wrapWorker(started);
    },
    openFolder: async (location) => folderFromUrl(location),
    now: () => performance.now(),
  };
}
