/**
 * What the ranks of a training run say to each other. Every rank runs the same program (step.ts) on its own latent
 * shards; the trainer asks this object instead of knowing who else is there. Traffic does not grow with the number
 * of latents: candidates [B,K] per shard, one partial reconstruction [B,D] per rank, a few vectors.
 *
 * Every sum is the same fixed binary tree over ranks, so the number of ranks never changes a bit.
 */
export type Comm = {
  readonly rank: number;
  readonly size: number;
  /** Everybody's equally long part, in rank order, into `all` (size * mine.length). */
  allGather(slot: string, mine: Shareable, all: Shareable): void;
  /** total = tree sum over ranks of `mine`; both have the same length. */
  allReduceSum(slot: string, mine: Float32Array, total: Float32Array): void;
  /** Tells the others that this rank failed, so that none waits for it forever. */
  abort(): void;
};

export type Shareable = Float32Array | Int32Array;

/** Longest `mine` of every slot, in elements, so that the memory between ranks exists before the first step. */
export type SlotSizes = Readonly<Record<string, number>>;
