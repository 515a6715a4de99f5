import type { WorkerPort } from '../platform/index.ts';
import { threadComm } from './comm/threads.ts';
import { createRank, type Rank } from './rank.ts';
import { stepRows, viewOf, type WorkerData, type WorkerReply, type WorkerRequest } from './window.ts';

/** A rank behind a port: one request, one reply, in order. */
export function startWorker(port: WorkerPort): void {
  const { config, space, rank, window } = port.data as WorkerData;
  const opened = createRank(config, threadComm(space, rank), 1);
  const rows = stepRows(window, config);
  const beside = {
    ...(config.Dout === undefined ? {} : { y: rows.y }),
    ...(config.vocabulary ? { tokens: rows.tokens } : {}),
  };

  async function answer(self: Rank, request: WorkerRequest): Promise<unknown> {
    const view = (name: string, count: number) => viewOf(window, self.describe()[name]!.type, count);
    switch (request.type) {
      case 'step':
        return await self.step(rows.x, beside, request.step, request.scales);
      case 'describe':
        return self.describe();
      case 'read':
        return self.read(request.name, request.from, view(request.name, request.count));
      case 'write':
        return self.write(request.name, request.from, view(request.name, request.count));
      case 'scale':
        return self.scale(request.to, request.from, request.factor);
      case 'close':
        return await self.close();
    }
  }

  port.onMessage(async (message) => {
    try {
      const result = await answer(await opened, message as WorkerRequest);
      port.postMessage({ result } satisfies WorkerReply);
    } catch (error) {
      port.postMessage({
        error: error instanceof Error ? error.message : String(error),
      } satisfies WorkerReply);
    }
  });
}
