/** Activations in memory, as a source: x[i,0] = i, so that every row says which one it is. */
import type { ActivationSource } from '../../src/store/activations/types.ts';

export function memoryActivations(
  rows: number,
  D: number,
  { fill = (i: number, d: number): number => (d === 0 ? i : d) } = {},
): ActivationSource & { readonly reads: { start: number; count: number }[] } {
  const x = new Float32Array(rows * D);
  for (let i = 0; i < rows; i++) for (let d = 0; d < D; d++) x[i * D + d] = fill(i, d);
  const reads: { start: number; count: number }[] = [];
  return {
    format: 'memory',
    name: 'memory',
    D,
    rows,
    fingerprint: `memory ${rows}`,
    meta: {},
    reads,
    async read(start, count, into) {
      reads.push({ start, count });
      into.set(x.subarray(start * D, (start + count) * D));
    },
    readTokens: async (start, count) => Int32Array.from({ length: count }, (_, i) => 7 * (start + i)),
    where: (row) => `shard-${Math.floor(row / 100)}.safetensors, row ${row % 100}`,
    async close() {},
  };
}
