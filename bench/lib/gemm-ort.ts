/** Runs the encoder product through ONNX Runtime in row tiles, over latents split into equal shards. */
import * as ort from 'onnxruntime-node';
import { gemmGraph } from './gemm-graph.ts';

export type ProductShape = {
  readonly B: number;
  readonly D: number;
  /** Latents of this runner, all its shards together. */
  readonly F: number;
  readonly shards: number;
  readonly tile: number;
  /** Candidates kept per row and shard; 0 returns the product into a reused buffer. */
  readonly topk: number;
  readonly threads: number;
};

/** Opens one session and returns a function that does the whole product once. */
export async function ortProduct({ B, D, F, shards, tile, topk, threads }: ProductShape) {
  const f = F / shards;
  const session = await ort.InferenceSession.create(gemmGraph(D, f, topk), {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
  });
  const x = fill(B * D, 1);
  const tiles: ort.Tensor[] = [];
  for (let b = 0; b < B; b += tile)
    tiles.push(new ort.Tensor('float32', x.subarray(b * D, (b + tile) * D), [tile, D]));
  const weights: ort.Tensor[] = [];
  for (let s = 0; s < shards; s++) weights.push(new ort.Tensor('float32', fill(f * D, 2 + s), [f, D]));
  const bias = new ort.Tensor('float32', new Float32Array(f), [f]);
  const pre = topk > 0 ? undefined : new ort.Tensor('float32', new Float32Array(tile * f), [tile, f]);
  return {
    async run(): Promise<void> {
      for (const W of weights)
        for (const rows of tiles) {
          const feeds = { x: rows, W, bias };
          if (pre) await session.run(feeds, { pre });
          else await session.run(feeds);
        }
    },
    close: () => session.release(),
  };
}

/** Cheap, seeded, zero-mean numbers; products do not care which. */
export function fill(length: number, seed: number): Float32Array {
  const out = new Float32Array(length);
  let state = (seed * 0x9e3779b9) >>> 0 || 1;
  for (let i = 0; i < length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    out[i] = ((state >>> 0) / 0xffffffff - 0.5) * 0.1;
  }
  return out;
}
