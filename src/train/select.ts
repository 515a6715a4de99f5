/** Which latents are active: the one dense product and the exact top K over all ranks. */
import { pointer as at } from '../kernels/arena.ts';
import { rowTile } from '../sae/product.ts';
import type { Competitors } from './auxk.ts';
import type { StepContext } from './step.ts';

/**
 * Pre-activations tile by tile, the heaps, and the global top K; leaves the winners by row and by latent. With Multi-TopK also
 * the top 4K, from the same lists.
 */
export async function selectMain(
  { group, comm, product, config }: StepContext,
  competitors: Competitors | undefined,
): Promise<void> {
  const { kernels, D, own, shardLatents, auxColumns, listed, weights } = group;
  const { B, K } = config;
  const mine = group.heapValues.subarray(group.rank * B * listed, (group.rank + 1) * B * listed);
  mine.fill(0);
  group.heapLatent.fill(0);
  for (let s = 0; s < own; s++) {
    const W = weights.W_enc.subarray(s * shardLatents * D, (s + 1) * shardLatents * D);
    const b_enc = weights.b_enc.subarray(s * shardLatents, (s + 1) * shardLatents);
    const columns = competitors?.columns[s] ?? 0;
    for (let row = 0; row < B; row += rowTile) {
      const rows = Math.min(rowTile, B - row);
      const pre = group.pre.subarray(0, rows * shardLatents);
      await product.run(group.x.subarray(row * D, (row + rows) * D), W, b_enc, pre, D);
      const [values, latents] = [at(mine) + row * listed * 4, at(group.heapLatent) + row * listed * 4];
      kernels.selectTile(at(pre), rows, shardLatents, s * shardLatents, values, latents, listed);
      if (columns > 0) {
        const out = at(group.auxPre) + (s * B * auxColumns + row * columns) * 4;
        // biome-ignore format: grouped as in the kernel
        kernels.gatherColumns(
          at(pre), rows, shardLatents, at(group.auxColumn) + s * auxColumns * 4, columns, out,
        );
      }
    }
  }
  kernels.sortHeaps(at(mine), at(group.heapLatent), B, listed);
  comm.allGather('heapValues', mine, group.heapValues);
  // biome-ignore format: grouped as in the kernel
  kernels.mergeTopK(
    at(group.heapValues), comm.size, B, listed, K, group.rank, at(group.heapLatent), own, shardLatents, at(group.heads),
    at(group.rowStart), at(group.rowLatent), at(group.rowValue),
  );
  // biome-ignore format: grouped as in the kernel
  kernels.transposeEntries(
    at(group.rowStart), at(group.rowLatent), at(group.rowValue), B, own, group.F, at(group.latentStart),
    at(group.cursor), at(group.latentRow), at(group.latentValue),
  );
  if (!config.multiTopk) return;
  // biome-ignore format: grouped as in the kernel
  kernels.mergeTopK(
    at(group.heapValues), comm.size, B, listed, listed, group.rank, at(group.heapLatent), own, shardLatents, at(group.heads),
    at(group.wideRowStart), at(group.wideRowLatent), at(group.wideRowValue),
  );
  // biome-ignore format: grouped as in the kernel
  kernels.transposeEntries(
    at(group.wideRowStart), at(group.wideRowLatent), at(group.wideRowValue), B, own, group.F, at(group.wideLatentStart),
    at(group.cursor), at(group.wideLatentRow), at(group.wideLatentValue),
  );
}
