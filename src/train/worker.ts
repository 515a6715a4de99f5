import type { WorkerPort } from '../platform/index.ts';
import { type SharedSpace, threadComm } from './comm/threads.ts';
import { createRank, type RankState } from './rank.ts';
import type { Scales } from './step.ts';
import type { TrainerConfig } from './types.ts';

/** What a worker is started with. `batch` holds the raw rows of the current step. */
export type WorkerData = {
  readonly config: TrainerConfig;
  readonly space: SharedSpace;
  readonly rank: number;
  readonly batch: SharedArrayBuffer;
};

export type WorkerRequest =
  | { readonly type: 'step'; readonly step: number; readonly scales: Scales }
  | { readonly type: 'names' }
  | { readonly type: 'read'; readonly name: string }
  | { readonly type: 'write'; readonly state: RankState }
  | { readonly type: 'close' };

export type WorkerReply = { readonly result: unknown } | { readonly error: string };

/** A rank behind a port: one request, one reply, in order. */
export function startWorker(port: WorkerPort): void {
  const { config, space, rank, batch } = port.data as WorkerData;
  const opened = createRank(config, threadComm(space, rank), 1);
  const raw = new Float32Array(batch);
  port.onMessage(async (message) => {
    const request = message as WorkerRequest;
    try {
      const self = await opened;
      let result: unknown;
      const transfer: ArrayBuffer[] = [];
      if (request.type === 'step') result = await self.step(raw, request.step, request.scales);
      else if (request.type === 'names') result = self.names;
      else if (request.type === 'read') {
        const array = self.read(request.name);
        transfer.push(array.buffer as ArrayBuffer);
        result = array;
      } else if (request.type === 'write') self.write(request.state);
      else await self.close();
      port.postMessage({ result } satisfies WorkerReply, transfer);
    } catch (error) {
      port.postMessage({
        error: error instanceof Error ? error.message : String(error),
      } satisfies WorkerReply);
    }
  });
}
