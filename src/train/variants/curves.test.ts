/** Loss curves of 200 steps against the same recipes in PyTorch (test/oracles/train/variants.py). */
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
const { cases, inputScale, mseScale } = JSON.parse(
  readFileSync(new URL('variants.json', golden), 'utf8'),
) as { cases: Record<string, Case>; inputScale: number; mseScale: number };

let arrays: Record<string, Float32Array>;
beforeAll(async () => {
  const source = await openFile(fileURLToPath(new URL('curve.safetensors', golden)));
  const file = await readSafetensors(source);
  arrays = {};
  for (const key of file.tensors.keys()) arrays[key] = await file.readFloat32(key);
  await source.close?.();
});

describe('the loss stays within 1e-3 of the curve in PyTorch', () => {
  for (const [name, { config, loss, l0 }] of Object.entries(cases))
    it(name, async () => {
      const { beta1, beta2, eps, threshold, ...rest } = config;
      const { B, D, F } = rest;
      const trainer = await createTrainer({
        ...rest,
        adam: { beta1, beta2, eps },
        seed: 0,
        shards: 8,
        workers: 0,
      });
      await trainer.restore(
        new Map<string, Float32Array | Float64Array>([
          ...['W_enc', 'W_dec', 'b_dec'].map((key) => [key, arrays[`init.${key}`]!] as const),
          ...(threshold === undefined ? [] : ([['threshold', new Float32Array(F).fill(threshold)]] as const)),
          ['scalars', Float64Array.of(0, inputScale, mseScale)],
        ]),
      );
      const data = arrays.data!;
      const rows = data.length / D;
      const x = new Float32Array(B * D);
      for (const [t, expected] of loss.entries()) {
        for (let i = 0; i < B; i++) {
          const row = ((t * B + i) % rows) * D;
          x.set(data.subarray(row, row + D), i * D);
        }
        const found = await trainer.train(x);
        expect(Math.abs(found.loss / expected - 1), `loss at step ${t}`).toBeLessThan(1e-3);
        expect(Math.abs(found.l0 / l0[t]! - 1), `L0 at step ${t}`).toBeLessThan(0.01);
      }
      await trainer.close();
    });
});
