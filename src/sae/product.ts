import type { InferenceSession, Tensor } from 'onnxruntime-common';
import { createGraphBuilder, createSession } from '../graph/index.ts';
import { getPlatform } from '../platform/index.ts';

/**
 * The one dense product of a sparse autoencoder, pre [rows,F] = x [rows,D] W^T + b, for latent-major W [F,D], in ONNX
 * Runtime, written straight into the caller's memory. Rows come in tiles: [B,F] as a whole is never made.
 *
 * Measured (2 cores, D 768): tiles of 512 rows over 2,048 latents run fastest; the output then stays in the cache.
 */
export type Product = {
  /** All arrays are views the caller owns; nothing is kept. */
  run(x: Float32Array, W: Float32Array, b: Float32Array, pre: Float32Array, D: number): Promise<void>;
  close(): Promise<void>;
};

export const rowTile = 512;
export const latentTile = 2048;

const { port1: nowhere, port2: closedEnd } = new MessageChannel();
closedEnd.close();

/**
 * Gives the memory of a buffer back at once: what is transferred to a closed port is gone. Left to the garbage collector the copies of a
 * step are as large as [B,F] (35 MB more on the demo, per worker).
 */
export function discard(buffer: ArrayBuffer): void {
  nowhere.postMessage(undefined, [buffer]);
}

export async function createProduct(threads: number): Promise<Product> {
  const g = createGraphBuilder();
  g.input('x', 'float32', ['rows', 'D']);
  g.input('W', 'float32', ['F', 'D']);
  g.input('b', 'float32', ['F']);
  g.named('pre', g.gemm('x', 'W', 'b', { transB: true }));
  const session = await createSession(g.graph, ['pre'], { threads });
  const tensor = (data: Float32Array, dims: number[]): Tensor =>
    new (getPlatform().ort.Tensor)('float32', data, dims);
  return {
    async run(x, W, b, pre, D) {
      const [rows, F] = [x.length / D, b.length];
      const feeds: InferenceSession.FeedsType = {
        x: tensor(x, [rows, D]),
        W: tensor(W, [F, D]),
        b: tensor(b, [F]),
      };
      const { pre: returned } = await session.run(feeds, { pre: tensor(pre, [rows, F]) });
      // The engine for Node has written where it was told, and returns a copy of it all the same.
      const { buffer } = returned!.data as Float32Array<ArrayBuffer>;
      if (buffer !== pre.buffer) discard(buffer);
    },
    close: () => session.release(),
  };
}
