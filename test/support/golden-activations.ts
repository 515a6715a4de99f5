/** The formula of test/oracles/activations: every file there holds these numbers. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ActivationSource } from '../../src/store/activations/types.ts';

const folder = fileURLToPath(new URL('../golden/activations', import.meta.url));
/** PATH or PATH#name of a golden file. */
export const golden = (name: string): string => join(folder, name);

export const formula = (i: number, j: number): number => (((31 * i + 7 * j + i * j) % 129) - 64) / 8;
export const token = (i: number): number => (37 * i) % 1000;

/** Rows of width D of the rows `which` of the formula. */
export const expectedRows = (which: readonly number[], D: number): Float32Array =>
  Float32Array.from({ length: which.length * D }, (_, k) => formula(which[Math.floor(k / D)]!, k % D));

export const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from }, (_, i) => from + i);

/** All rows of a source, asked for in blocks of `block` from the last to the first. */
export async function allRows(source: ActivationSource, block: number): Promise<Float32Array> {
  const x = new Float32Array(source.rows * source.D);
  const starts = range(0, Math.ceil(source.rows / block)).map((b) => b * block);
  for (const start of starts.reverse()) {
    const count = Math.min(block, source.rows - start);
    await source.read(start, count, x.subarray(start * source.D, (start + count) * source.D));
  }
  return x;
}
