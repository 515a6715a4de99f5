/**
 * BatchTopK: the B K largest positive pre-activations of a batch, exactly, over all ranks. Of equal values those of the lower shard, then
 * of the lower row, then of the lower latent are taken.
 */
import { pointer as at } from '../kernels/arena.ts';
import type { Competitors } from './auxk.ts';
import type { Comm } from './comm/types.ts';
import type { Group } from './group.ts';
import { entriesByLatent } from './lists.ts';
import type { StepContext } from './step.ts';
import { eachOwnTile } from './tiles.ts';

/** Bits of a positive float, from the top, in rounds of bins. */
const rounds = [
  { shift: 20, width: 11 },
  { shift: 10, width: 10 },
  { shift: 0, width: 10 },
];

/** Leaves the winners by row and by latent; returns the smallest of them over all ranks, 0 when nothing is positive. */
export async function selectBatch(
  context: StepContext,
  competitors: Competitors | undefined,
): Promise<number> {
  const { group, comm, config } = context;
  const { kernels, own, shardLatents } = group;
  const { B, K } = config;
  const lists = [at(group.candidateRow), at(group.candidateLatent), at(group.candidateValue)] as const;
  group.candidateState.fill(0);
  await eachOwnTile(context, competitors, ({ s, row, rows }) => {
    // biome-ignore format: grouped as in the kernel
    kernels.collectBatch(
      at(group.pre), rows, shardLatents, row, s * shardLatents, B * K, 2 * B * K, ...lists, at(group.bins),
      at(group.candidateState),
    );
  });
  const candidates = group.candidateState[0]!;
  const limit = nthLargest(group, comm, candidates, B * K);
  const above = countsByRank(comm, kernels.countBits(lists[2], candidates, limit));
  const atLeast = countsByRank(comm, kernels.countBits(lists[2], candidates, Math.max(limit - 1, 0)));
  // Lower ranks hold the lower shards and go first.
  let room = B * K;
  for (const n of above) room -= n;
  for (let r = 0; r < comm.rank; r++) room -= atLeast[r]! - above[r]!;
  // What is not positive is never taken: a limit of 0 leaves no room for equals.
  const n = kernels.keepAbove(...lists, candidates, limit, limit > 0 ? Math.max(0, room) : 0);
  // biome-ignore format: grouped as in the kernel
  kernels.entriesByRow(
    ...lists, n, B, own, shardLatents, at(group.cells), at(group.rowStart), at(group.rowLatent), at(group.rowValue),
  );
  entriesByLatent(group, B);
  return smallest(comm, group.candidateValue.subarray(0, n));
}

/** Bits of the n-th largest of all ranks' candidates; 0 when there are fewer. */
function nthLargest(group: Group, comm: Comm, candidates: number, n: number): number {
  const { kernels, bins } = group;
  const everyone = new Int32Array(comm.size * bins.length);
  let prefix = 0;
  let left = n;
  for (const { shift, width } of rounds) {
    kernels.countBins(at(group.candidateValue), candidates, prefix, shift, width, at(bins));
    comm.allGather('bins', bins, everyone);
    let bin = 2 ** width - 1;
    for (; bin >= 0; bin--) {
      let inBin = 0;
      for (let r = 0; r < comm.size; r++) inBin += everyone[r * bins.length + bin]!;
      if (inBin >= left) break;
      left -= inBin;
    }
    if (bin < 0) return 0;
    prefix = prefix * 2 ** width + bin;
  }
  return prefix;
}

function countsByRank(comm: Comm, mine: number): Int32Array {
  const all = new Int32Array(comm.size);
  comm.allGather('batchCount', Int32Array.of(mine), all);
  return all;
}

function smallest(comm: Comm, values: Float32Array): number {
  let mine = Number.POSITIVE_INFINITY;
  for (const v of values) if (v < mine) mine = v;
  const all = new Float32Array(comm.size);
  comm.allGather('batchLeast', Float32Array.of(mine), all);
  const least = Math.min(...all);
  return Number.isFinite(least) ? least : 0;
}
