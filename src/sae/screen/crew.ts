/** The lanes of screening, on worker threads or on the calling one. Nothing here holds the SAE. */
import { getPlatform } from '../../platform/index.ts';
import type { Int8Product } from './int8-product.ts';
import type { Latents } from './latents.ts';
import { openLane, type ScreenedRows } from './rows.ts';
import type { WorkerData, WorkerReply, WorkerRequest } from './worker.ts';

export type Crew = {
  readonly lanes: number;
  /** Rows x [rows,D], which are given away. */
  encode(lane: number, x: Float32Array<ArrayBuffer>): Promise<ScreenedRows>;
  close(): Promise<void>;
};

/** @param product of all threads; closed with the crew */
export function crewOnThisThread(latents: Latents, tiles: readonly Int8Array[], product: Int8Product): Crew {
  const lane = openLane(latents, tiles, 0, product);
  return { lanes: 1, encode: (_, x) => lane(x), close: () => product.close() };
}

/**
 * Workers keep the process alive only while one of them has something to do: an encoder that is not closed does not hang it.
 *
 * @param options.threads of each lane's products
 */
export async function crewOnWorkers(
  latents: Latents,
  tiles: readonly Int8Array[],
  { lanes, threads }: { lanes: number; threads: number },
): Promise<Crew> {
  /** Of a worker that died: it answers no more. */
  let failure: string | undefined;
  const waiting: ((reply: WorkerReply) => void)[][] = Array.from({ length: lanes }, () => []);
  const workers = Array.from({ length: lanes }, (_, lane) => {
    const data: WorkerData = { latents, lane, threads };
    const worker = getPlatform().spawnWorker('sae/screen/worker', data);
    worker.onMessage((reply) => waiting[lane]!.shift()?.(reply as WorkerReply));
    worker.onError((error) => {
      failure = error.message;
      for (const settle of waiting[lane]!.splice(0)) settle({ error: error.message });
    });
    return worker;
  });
  let closed: Promise<void> | undefined;
  async function ask(lane: number, request: WorkerRequest, give: ArrayBuffer[]): Promise<WorkerReply> {
    if (failure !== undefined) throw new Error(failure);
    const worker = workers[lane]!;
    worker.keepAlive(true);
    const reply = await new Promise<WorkerReply>((resolve) => {
      waiting[lane]!.push(resolve);
      worker.postMessage(request, give);
    });
    if (!closed && waiting[lane]!.length === 0) worker.keepAlive(false);
    if ('error' in reply) throw new Error(reply.error);
    return reply;
  }
  const close = () =>
    (closed ??= Promise.all(
      workers.map((worker) => {
        worker.keepAlive(true);
        return worker.close();
      }),
    ).then(() => {}));
  try {
    await Promise.all(
      workers.map((_, lane) => {
        const copies = tiles.map((tile) => tile.slice());
        return ask(
          lane,
          { tiles: copies },
          copies.map(({ buffer }) => buffer),
        );
      }),
    );
  } catch (error) {
    await close();
    throw error;
  }
  return {
    lanes,
    async encode(lane, x) {
      const reply = (await ask(lane, { x }, [x.buffer])) as { rows: ScreenedRows };
      return reply.rows;
    },
    close,
  };
}
