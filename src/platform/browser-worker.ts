/** The worker's side in the browser: a worker script sets its platform, then calls `runBrowserWorker(startWorker)`. */

import type { WorkerPort } from './types.ts';
import { serialPort } from './worker-port.ts';

type Scope = {
  postMessage(message: unknown, transfer?: Transferable[]): void;
  close(): void;
  onmessage: ((event: MessageEvent) => void) | null;
};

/** Waits for the owner's first message, which carries the data, and hands the module its port. */
export function runBrowserWorker(startWorker: (port: WorkerPort) => void): void {
  const scope = globalThis as unknown as Scope;
  const queue = serialPort(() => {
    scope.postMessage({ stopped: true });
    scope.close();
  });
  scope.onmessage = ({ data }: MessageEvent) => {
    if (data.start) {
      startWorker({
        data: data.start.data,
        postMessage: (message, transfer = []) => scope.postMessage({ message }, [...transfer]),
        onMessage: (receive) => queue.start(receive),
      });
    } else queue.push(data);
  };
}
