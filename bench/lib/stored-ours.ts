/** Training on stored rows as a contender: float32 shards on disk, more of them than are held in memory, beside the same rows in memory. */
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import '../../src/platform/node.ts';
import { writeSafetensors } from '../../src/formats/index.ts';
import { createStoredStream } from '../../src/harvest/index.ts';
import { openActivations } from '../../src/store/index.ts';
import { createTrainer } from '../../src/train/index.ts';
import type { Contender } from './contender.ts';

const STEPS = 4;
const SHARDS = 8;
/** Small, so that reading has little time to hide behind. */
const F = 4096;
const K = 32;

/** Writes `SHARDS` files of the given rows [N,D]. */
export function writeStoredRows(folder: string, rows: Float32Array, D: number): string {
  mkdirSync(folder);
  for (let s = 0; s < SHARDS; s++) {
    const file = openSync(join(folder, `rows-${s}.safetensors`), 'w');
    for (const chunk of writeSafetensors({ x: { dtype: 'F32', shape: [rows.length / D, D], data: rows } }))
      writeSync(file, chunk);
    closeSync(file);
  }
  return folder;
}

/** @param rows a folder of stored rows, or batches in memory */
export async function oursStored(
  name: string,
  rows: string | readonly Float32Array[],
  { B, D }: { readonly B: number; readonly D: number },
  workers: number,
): Promise<Contender> {
  const trainer = await createTrainer({
    ...{ B, D, F, K, totalSteps: 1_000_000, lr: 2e-4, warmupSteps: 0, decaySteps: 0, auxk: 256 },
    ...{ adam: { beta1: 0.9, beta2: 0.999, eps: 6.25e-10 }, auxkCoefficient: 1 / 32, deadSteps: 100_000 },
    ...{ freeze: 'none', seed: 0, shards: 8, workers },
  });
  const source = typeof rows === 'string' ? await openActivations(rows) : undefined;
  // A quarter of the rows in memory at most: every row comes from a file, none twice in a turn.
  const stream = source && createStoredStream({ source, shuffleTokens: source.rows / 4 });
  const batch = new Float32Array(B * D);
  let step = 0;
  const next = async (): Promise<Float32Array> =>
    stream ? (await stream.next(B, batch))!.x : (rows as readonly Float32Array[])[step++ % rows.length]!;
  await trainer.initialize((await next()).slice());
  return {
    name,
    about: { B, D, F, K, steps: STEPS, rows: source?.rows ?? B * rows.length },
    async turn() {
      const start = performance.now();
      for (let i = 0; i < STEPS; i++) await trainer.train(await next());
      return performance.now() - start;
    },
    async close() {
      await stream?.close();
      await source?.close();
      await trainer.close();
    },
  };
}
