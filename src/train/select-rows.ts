/** TopK: the K largest pre-activations of every row, exactly, over all ranks; signed: the K largest magnitudes. */
import { pointer as at } from '../kernels/arena.ts';
import type { Competitors } from './auxk.ts';
import { entriesByLatent } from './lists.ts';
import type { StepContext } from './step.ts';
import { eachOwnTile } from './tiles.ts';

/**
 * Pre-activations tile by tile, the heaps, and the global top K; leaves the winners by row and by latent. With Multi-TopK also
 * the top 4K, from the same lists.
 */
export async function selectRows(context: StepContext, competitors: Competitors | undefined): Promise<void> {
  const { group, comm, config } = context;
  const { kernels, own, shardLatents, listed } = group;
  const { B, K } = config;
  const mine = group.heapValues.subarray(group.rank * B * listed, (group.rank + 1) * B * listed);
  mine.fill(0);
  group.heapLatent.fill(0);
  await eachOwnTile(context, competitors, ({ s, row, rows }) => {
    if (config.signed) kernels.foldSign(at(group.pre), rows * shardLatents);
    const [values, latents] = [at(mine) + row * listed * 4, at(group.heapLatent) + row * listed * 4];
    kernels.selectTile(
      at(group.pre),
      rows,
      shardLatents,
      s * shardLatents,
      values,
      latents,
      listed,
      at(group.keys),
    );
  });
  kernels.sortHeaps(at(mine), at(group.heapLatent), B, listed, at(group.keys));
  comm.allGather('heapValues', mine, group.heapValues);
  // biome-ignore format: grouped as in the kernel
  kernels.mergeTopK(
    at(group.heapValues), comm.size, B, listed, K, group.rank, at(group.heapLatent), own, shardLatents, at(group.heads),
    at(group.rowStart), at(group.rowLatent), at(group.rowValue),
  );
  if (config.signed) kernels.unfoldSign(at(group.rowValue), group.rowStart[B * own]!);
  entriesByLatent(group, B);
  if (!config.multiTopk) return;
  // biome-ignore format: grouped as in the kernel
  kernels.mergeTopK(
    at(group.heapValues), comm.size, B, listed, listed, group.rank, at(group.heapLatent), own, shardLatents, at(group.heads),
    at(group.wideRowStart), at(group.wideRowLatent), at(group.wideRowValue),
  );
  if (config.signed) kernels.unfoldSign(at(group.wideRowValue), group.wideRowStart[B * own]!);
  // biome-ignore format: grouped as in the kernel
  kernels.transposeEntries(
    at(group.wideRowStart), at(group.wideRowLatent), at(group.wideRowValue), B, own, group.F, at(group.wideLatentStart),
    at(group.cursor), at(group.wideLatentRow), at(group.wideLatentValue),
  );
}
