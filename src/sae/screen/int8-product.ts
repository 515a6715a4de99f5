/**
 * Integer products [rows,width] = (q - 128) W of bytes q [rows,P] and signed weights W [P,width], in ONNX Runtime (MatMulInteger).
 *
 * Measured (AVX512 with VNNI, one thread, P 2048): a quarter of the time of the float32 product. Without VNNI the engine adds pairs of products in
 * 16 bits, which is exact only for weights of 7 bits: a trial product tells.
 */
import type { TypedTensor } from 'onnxruntime-common';
import { createGraphBuilder, createSession } from '../../graph/index.ts';
import { getPlatform } from '../../platform/index.ts';
import { discard } from '../product.ts';

export type Int8Product = {
  /** Weights lie in [-mostWeight, mostWeight]: 127, or 63 where the engine would saturate. */
  readonly mostWeight: number;
  /** Writes into `out`; nothing is kept. */
  run(q: Uint8Array, W: Int8Array, out: Int32Array, P: number): Promise<void>;
  close(): Promise<void>;
};

/** @throws when the engine has no such product, or none that is exact */
export async function createInt8Product(threads: number): Promise<Int8Product> {
  const g = createGraphBuilder();
  g.input('q', 'uint8', ['rows', 'P']);
  g.input('W', 'int8', ['P', 'width']);
  g.named('out', g.op('MatMulInteger', ['q', 'W', g.uint8(128)]));
  const session = await createSession(g.graph, ['out'], {
    threads,
    outputTypes: new Map([['out', 'int32']]),
  }).catch((error: Error) => {
    throw new Error(
      `Screening needs the operator MatMulInteger, and this ONNX Runtime has none: ${error.message}. Encode without screen.`,
      { cause: error },
    );
  });
  const { Tensor } = getPlatform().ort;
  async function run(q: Uint8Array, W: Int8Array, out: Int32Array, P: number): Promise<void> {
    const [rows, width] = [q.length / P, W.length / P];
    const feeds = { q: new Tensor('uint8', q, [rows, P]), W: new Tensor('int8', W, [P, width]) };
    const fetched = await session.run(feeds, { out: new Tensor('int32', out, [rows, width]) });
    const returned = (fetched.out as TypedTensor<'int32'>).data;
    if (returned.buffer !== out.buffer) discard(returned.buffer as ArrayBuffer);
  }
  const exact = async (most: number): Promise<boolean> => {
    const [rows, P, width] = [8, 64, 64];
    const out = new Int32Array(rows * width);
    await run(new Uint8Array(rows * P).fill(255), new Int8Array(P * width).fill(most), out, P);
    return out.every((sum) => sum === 127 * most * P);
  };
  for (const mostWeight of [127, 63])
    if (await exact(mostWeight)) return { mostWeight, run, close: () => session.release() };
  await session.release();
  throw new Error('Integer products of this ONNX Runtime are not exact. Encode without screen.');
}
