/** One worker thread of the probe: opens its product, then runs it once per message. */
import { parentPort, workerData } from 'node:worker_threads';
import { ortProduct, type ProductShape } from './gemm-ort.ts';

const product = await ortProduct(workerData as ProductShape);
parentPort!.on('message', async (message: 'run' | 'close') => {
  if (message === 'close') {
    await product.close();
    parentPort!.close();
    return;
  }
  await product.run();
  parentPort!.postMessage('done');
});
parentPort!.postMessage('ready');
