/** Pre-activations of own shards, one tile [rows, shardLatents] after the other: shard by shard, in each from the first row on. */
import { pointer as at } from '../kernels/arena.ts';
import { rowTile } from '../sae/product.ts';
import type { Competitors } from './auxk.ts';
import type { StepContext } from './step.ts';

export type Tile = {
  /** Own shard. */
  readonly s: number;
  readonly row: number;
  readonly rows: number;
};

/** Calls `visit` with every tile of rows [from, to), while its pre-activations are in group.pre. */
export async function eachTile(
  { group, product }: StepContext,
  { shards, from, to }: { readonly shards: readonly number[]; readonly from: number; readonly to: number },
  visit: (tile: Tile) => void,
): Promise<void> {
  const { D, shardLatents, weights } = group;
  for (const s of shards) {
    const W = weights.W_enc.subarray(s * shardLatents * D, (s + 1) * shardLatents * D);
    const b_enc = weights.b_enc.subarray(s * shardLatents, (s + 1) * shardLatents);
    for (let row = from; row < to; row += rowTile) {
      const rows = Math.min(rowTile, to - row);
      const pre = group.pre.subarray(0, rows * shardLatents);
      await product.run(group.x.subarray(row * D, (row + rows) * D), W, b_enc, pre, D);
      visit({ s, row, rows });
    }
  }
}

/** All rows of all own shards; keeps the pre-activations of the dead latents that compete for AuxK. */
export async function eachOwnTile(
  context: StepContext,
  competitors: Competitors | undefined,
  visit: (tile: Tile) => void,
): Promise<void> {
  const { group, config } = context;
  const { kernels, auxColumns, shardLatents, own } = group;
  const { B } = config;
  await eachTile(context, { shards: ownShards(own), from: 0, to: B }, (tile) => {
    visit(tile);
    const { s, row, rows } = tile;
    const columns = competitors?.columns[s] ?? 0;
    if (columns === 0) return;
    const out = at(group.auxPre) + (s * B * auxColumns + row * columns) * 4;
    // biome-ignore format: grouped as in the kernel
    kernels.gatherColumns(
      at(group.pre), rows, shardLatents, at(group.auxColumn) + s * auxColumns * 4, columns, out,
    );
  });
}

export const ownShards = (own: number): number[] => Array.from({ length: own }, (_, s) => s);
