/** What a Node worker thread starts with: sets the platform, loads the named module and hands it its port. */
import { parentPort, workerData } from 'node:worker_threads';
import './node.ts';
import type { WorkerPort } from './types.ts';
import { serialPort } from './worker-port.ts';

const { name, data } = workerData as { name: string; data: unknown };
const channel = parentPort;
if (!channel) throw new Error('node-worker runs in a worker thread only');

const queue = serialPort(() => channel.close());
// Attached before the module is loaded, so that nothing sent meanwhile is lost.
channel.on('message', (envelope: { message?: unknown; stop?: boolean }) => queue.push(envelope));

const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
const module = (await import(new URL(`../${name}.${extension}`, import.meta.url).href)) as {
  startWorker?: (port: WorkerPort) => void;
};
if (!module.startWorker) throw new Error(`${name} exports no startWorker(port)`);
module.startWorker({
  data,
  postMessage: (message, transfer = []) => channel.postMessage(message, [...transfer]),
  onMessage: (receive) => queue.start(receive),
});
