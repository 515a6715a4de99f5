/** The encoder product on worker threads, each with its own part of the latents and one ONNX Runtime thread. */
import { Worker } from 'node:worker_threads';
import type { ProductShape } from './gemm-ort.ts';

// Node 20 does not hand tsx's loader down to worker threads, so each registers it itself.
const startTypeScript = `import('tsx/esm/api').then(({ register }) => { register(); return import(${JSON.stringify(
  new URL('./gemm-worker.ts', import.meta.url).href,
)}); })`;

/** `shape` is one worker's part. */
export async function workersProduct(count: number, shape: ProductShape) {
  const workers = Array.from(
    { length: count },
    () => new Worker(startTypeScript, { eval: true, workerData: shape }),
  );
  const next = (worker: Worker) =>
    new Promise<void>((resolve, reject) => {
      worker.once('message', () => resolve());
      worker.once('error', reject);
    });
  await Promise.all(workers.map(next));
  return {
    async run(): Promise<void> {
      await Promise.all(
        workers.map((worker) => {
          const done = next(worker);
          worker.postMessage('run');
          return done;
        }),
      );
    },
    async close(): Promise<void> {
      await Promise.all(
        workers.map((worker) => {
          worker.postMessage('close');
          return new Promise((resolve) => worker.once('exit', resolve));
        }),
      );
    },
  };
}
