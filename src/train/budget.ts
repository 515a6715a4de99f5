import { sharedBytes } from './comm/threads.ts';
import type { SlotSizes } from './comm/types.ts';
import { groupBytes, layout } from './group.ts';
import type { TrainerConfig } from './types.ts';
import { variantOf } from './variants/index.ts';
import { windowBytes } from './window.ts';

/** Longest message of every slot, elements per rank. */
export function slotSizes(config: TrainerConfig, ranks: number): SlotSizes {
  const { D, own, listed, prefixes, skipRows } = layout(config, ranks);
  const { selection } = variantOf(config);
  const [batch, above] = [selection === 'batch', selection === 'threshold'];
  return {
    heapValues: config.B * listed,
    partial: config.B * D,
    auxCount: config.auxk > 0 ? config.B : 0,
    auxCompeting: 1,
    counts: 2,
    biasGradients: own * D,
    bins: batch ? 2048 : 0,
    batchCount: batch ? 1 : 0,
    batchLeast: batch ? 1 : 0,
    prefixPartial: prefixes * config.B * D,
    skipOut: config.B * own * skipRows,
    liveNorms: 2 * own,
    tokenPart: config.vocabulary ? config.B * D : 0,
    shardCounts: above ? own : 0,
    shardSums: above ? own : 0,
  };
}

/** Bytes that a trainer will hold, by purpose, known before anything is allocated. AuxK's are touched once a latent is dead. */
export function trainerBudget(config: TrainerConfig, ranks: number): Record<string, number> {
  const { state, batch } = groupBytes(config, ranks);
  const plain = groupBytes({ ...config, auxk: 0 }, ranks).batch;
  return {
    'weights and Adam moments': ranks * state,
    'batch buffers': ranks * plain + (config.workers > 0 ? windowBytes(config) : 0),
    'AuxK buffers': ranks * (batch - plain),
    'between workers': ranks > 1 ? sharedBytes(ranks, slotSizes(config, ranks)) : 0,
  };
}

/** Ranks that `workers` threads make: the largest power of two that is not more, and that divides the shards. */
export function rankCount({ workers, shards }: Pick<TrainerConfig, 'workers' | 'shards'>): number {
  let ranks = 1;
  while (ranks * 2 <= workers && shards % (ranks * 2) === 0) ranks *= 2;
  return ranks;
}
