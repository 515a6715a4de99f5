import type { WorkerPort } from '../../platform/index.ts';
import { createInt8Product } from './int8-product.ts';
import type { Latents } from './latents.ts';
import { type Lane, openLane, type ScreenedRows } from './rows.ts';

export type WorkerData = { readonly latents: Latents; readonly lane: number; readonly threads: number };
/** The rounded weights come first, once. */
export type WorkerRequest = { readonly tiles: readonly Int8Array[] } | { readonly x: Float32Array };
export type WorkerReply = { readonly rows?: ScreenedRows } | { readonly error: string };

/** A lane behind a port: one request, one reply, in order. */
export function startWorker(port: WorkerPort): void {
  const { latents, lane, threads } = port.data as WorkerData;
  let encode: Lane | undefined;
  port.onMessage(async (message) => {
    const request = message as WorkerRequest;
    try {
      if ('tiles' in request) {
        encode = openLane(latents, request.tiles, lane, await createInt8Product(threads));
        port.postMessage({} satisfies WorkerReply);
      } else port.postMessage({ rows: await encode!(request.x) } satisfies WorkerReply);
    } catch (error) {
      port.postMessage({
        error: error instanceof Error ? error.message : String(error),
      } satisfies WorkerReply);
    }
  });
}
