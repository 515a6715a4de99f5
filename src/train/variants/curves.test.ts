/** Loss curves of 200 steps against the same recipes in PyTorch (test/oracles/train/variants.py, transcoders.py). */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { readSafetensors } from '../../formats/index.ts';
import { openFile } from '../../platform/node.ts';
import { createTrainer } from '../trainer.ts';
import type { TrainerConfig } from '../types.ts';

const golden = new URL('../../../test/golden/train/', import.meta.url);
type Case = {
  readonly config: Omit<TrainerConfig, 'adam' | 'seed' | 'shards' | 'workers'> & {
    readonly beta1: number;
    readonly beta2: number;
    readonly eps: number;
    readonly threshold?: number;
  };
  readonly loss: readonly number[];
  readonly l0: readonly number[];
};
type Golden = {
  readonly cases: Record<string, Case>;
  readonly inputScale: number;
  readonly mseScale: number;
  readonly outputScale?: number;
};
const goldenOf = (name: string) => JSON.parse(readFileSync(new URL(name, golden), 'utf8')) as Golden;
const [variants, transcoders] = [goldenOf('variants.json'), goldenOf('transcoders.json')];

let arrays: Record<string, Float32Array>;
beforeAll(async () => {
  const source = await openFile(fileURLToPath(new URL('curve.safetensors', golden)));
  const file = await readSafetensors(source);
  arrays = {};
  for (const key of file.tensors.keys()) arrays[key] = await file.readFloat32(key);
  await source.close?.();
});

/** The start and the rows y of transcoders.py, from those of curve.safetensors. */
function transcoderParts({ D, F, Dout = D }: TrainerConfig) {
  const { data, 'init.W_enc': W, 'init.W_dec': rows } = arrays;
  const y = new Float32Array((data!.length / D) * Dout);
  for (let j = 0; j < y.length; j++) {
    let sum = 0;
    for (let d = 0; d < D; d++) sum += W![(j % Dout) * D + d]! * data![Math.floor(j / Dout) * D + d]!;
    y[j] = 3 * Math.max(0, sum) + 0.7;
  }
  const W_dec = Float32Array.from(
    { length: F * Dout },
    (_, j) => rows![Math.floor(j / Dout) * D + (j % Dout)]!,
  );
  for (let i = 0; i < F; i++) {
    const row = W_dec.subarray(i * Dout, (i + 1) * Dout);
    const norm = Math.hypot(...row);
    for (let d = 0; d < Dout; d++) row[d]! /= norm;
  }
  return { y, start: { W_enc: W!, W_dec, centre: arrays['init.b_dec']! } };
}

describe('the loss stays within 1e-3 of the curve in PyTorch', () => {
  const all = [variants, transcoders].flatMap(({ cases, ...scales }) =>
    Object.entries(cases).map(([name, one]) => ({ name, scales, ...one })),
  );
  for (const { name, config, loss, l0, scales } of all)
    it(name, async () => {
      const { beta1, beta2, eps, threshold, ...rest } = config;
      const { B, D, F, Dout = D } = rest;
      const whole = { ...rest, adam: { beta1, beta2, eps }, seed: 0, shards: 8, workers: 0 };
      const trainer = await createTrainer(whole);
      const { y: outputs, start } = rest.Dout
        ? transcoderParts(whole)
        : {
            y: undefined,
            start: Object.fromEntries(
              ['W_enc', 'W_dec', 'b_dec'].map((key) => [key, arrays[`init.${key}`]!]),
            ),
          };
      const { inputScale, mseScale, outputScale } = scales;
      await trainer.restore(
        new Map<string, Float32Array | Float64Array>([
          ...Object.entries(start),
          ...(threshold === undefined ? [] : ([['threshold', new Float32Array(F).fill(threshold)]] as const)),
          ['scalars', Float64Array.of(0, inputScale, mseScale, ...(outputScale ? [outputScale] : []))],
        ]),
      );
      const data = arrays.data!;
      const rows = data.length / D;
      const x = new Float32Array(B * D);
      const y = outputs && new Float32Array(B * Dout);
      for (const [t, expected] of loss.entries()) {
        for (let i = 0; i < B; i++) {
          const row = (t * B + i) % rows;
          x.set(data.subarray(row * D, (row + 1) * D), i * D);
          y?.set(outputs!.subarray(row * Dout, (row + 1) * Dout), i * Dout);
        }
        const found = await trainer.train(x, { y });
        expect(Math.abs(found.loss / expected - 1), `loss at step ${t}`).toBeLessThan(1e-3);
        expect(Math.abs(found.l0 / l0[t]! - 1), `L0 at step ${t}`).toBeLessThan(0.01);
      }
      await trainer.close();
    });
});
