import { alignedBytes, createArena } from '../kernels/arena.ts';
import { createKernels, keyBytes } from '../kernels/kernels.ts';
import { outputWidth } from '../sae/check.ts';
import { rowTile } from '../sae/product.ts';
import { auxBlock, averageOf, chunkRows, momentsOf, multiTopkFactor } from './constants.ts';
import { startControl } from './control.ts';
import type { TrainerConfig } from './types.ts';
import { prefixesOf, variantOf } from './variants/index.ts';

/** How many dead latents may compete for AuxK in one step, per k_aux; when more are dead, they take turns. */
const competitorsPerAuxk = 16;

/** The sizes of one rank's part: `own` of the S shards, F = own * shardLatents latents. */
export type Layout = {
  /** D, or Dout where that is larger, padded to a multiple of 4 with zeros, which stay zero: rows of both places are as long. */
  readonly D: number;
  readonly shardLatents: number;
  readonly own: number;
  readonly F: number;
  /** Dead latents of one shard that may compete for AuxK in a step, a multiple of 4; 0 without AuxK. */
  readonly auxColumns: number;
  /** Best latents of a row that are kept in a list: K, or with Multi-TopK 4K. */
  readonly listed: number;
  /** Threshold variants: entries that fit the list of one shard. */
  readonly capacity: number;
  /** Entries that fit the lists of this rank. */
  readonly entries: number;
  /** Rows of W_skip that go with a shard; 0 without. */
  readonly skipRows: number;
  /** Tokens whose bias goes with a shard; 0 without. */
  readonly tokenRows: number;
  /** G, nested prefixes with a reconstruction each; 0 where there is one reconstruction. */
  readonly prefixes: number;
};

export function layout(config: TrainerConfig, ranks: number): Layout {
  const shardLatents = config.F / config.shards;
  const own = config.shards / ranks;
  const columns = Math.min(shardLatents, Math.ceil((competitorsPerAuxk * config.auxk) / config.shards));
  const { selection, skip } = variantOf(config);
  // Twice the L0 that is asked for, were it spread evenly; at least a chunk of rows in which every latent is active.
  const capacity =
    selection === 'threshold'
      ? Math.max(chunkRows * shardLatents, Math.ceil((2 * config.B * config.K) / config.shards))
      : 0;
  return {
    D: Math.ceil(Math.max(config.D, outputWidth(config)) / 4) * 4,
    shardLatents,
    own,
    F: own * shardLatents,
    auxColumns: config.auxk > 0 ? Math.ceil(columns / 4) * 4 : 0,
    listed:
      selection !== 'rows' ? 0 : config.multiTopk ? Math.min(config.F, multiTopkFactor * config.K) : config.K,
    capacity,
    entries: selection === 'threshold' ? own * capacity : config.B * config.K,
    skipRows: skip ? Math.ceil(outputWidth(config) / config.shards) : 0,
    tokenRows: Math.ceil((config.vocabulary ?? 0) / config.shards),
    prefixes: prefixesOf(config).length,
  };
}

/** Weights, Adam moments and moving averages: what a checkpoint holds. Elements of each. */
function stateArrays(config: TrainerConfig, ranks: number) {
  const { D, F, own, skipRows, tokenRows } = layout(config, ranks);
  const skip = own * skipRows * D;
  return {
    W_enc: F * D,
    W_dec: F * D,
    b_enc: F,
    mEnc: F * D,
    vEnc: F * D,
    mDec: F * D,
    vDec: F * D,
    mBias: F,
    vBias: F,
    /** Where the decoder started, for the soft-frozen control. */
    W_start: config.freeze === 'soft' ? F * D : 0,
    emaEnc: config.ema ? F * D : 0,
    emaDec: config.ema ? F * D : 0,
    emaBias: config.ema ? F : 0,
    W_skip: skip,
    mSkip: skip,
    vSkip: skip,
    emaSkip: config.ema ? skip : 0,
    b_token: own * tokenRows * D,
    tokenSeen: own * tokenRows,
    ...Object.fromEntries(
      Object.keys(variantOf(config).parameters).flatMap((name) =>
        [name, ...momentsOf(name), ...(config.ema ? [averageOf(name)] : [])].map((array) => [array, F]),
      ),
    ),
  } as Record<(typeof stateNames)[number], number> & Record<string, number>;
}

const stateNames = [
  ...['W_enc', 'W_dec', 'b_enc', 'mEnc', 'vEnc', 'mDec', 'vDec', 'mBias', 'vBias'],
  ...['W_start', 'emaEnc', 'emaDec', 'emaBias', 'W_skip', 'mSkip', 'vSkip', 'emaSkip'],
  ...['b_token', 'tokenSeen'],
] as const;

/** float32 work space of a step. Entries of a sparse code: (latent, value) by row, (row, value) by latent. */
function floatArrays(config: TrainerConfig, ranks: number) {
  const { D, F, own, shardLatents, auxColumns, listed, entries, prefixes, skipRows } = layout(config, ranks);
  const { B, K } = config;
  const aux = auxColumns > 0;
  const wide = config.multiTopk === true;
  const { selection, gate, transcodes } = variantOf(config);
  const [above, batch] = [selection === 'threshold', selection === 'batch'];
  return {
    /** The batch, scaled and centred: s x - b_dec [B,D]. */
    x: B * D,
    /** What is to be reconstructed, where that is not x [B,D]. */
    target: transcodes || config.vocabulary ? B * D : 0,
    /** Of each row the bias of its token, where this rank has it; then that of all ranks [B,D]. */
    tokenPart: config.vocabulary ? B * D : 0,
    /** c of a transcoder [D]. */
    centre: transcodes ? D : 0,
    /** x W_skip^T, shard by shard [S][B,skipRows]; then x^T [D,B], e^T [skipRows,B] and the gradient [skipRows,D] of one shard. */
    skipOut: config.shards * B * skipRows,
    skipInput: skipRows > 0 ? D * B : 0,
    skipError: skipRows * B,
    skipGradient: skipRows * D,
    /** This rank's part of a reconstruction, then the sum over ranks [B,D]. */
    partial: B * D,
    /** e = x - z W_dec [B,D]. */
    error: B * D,
    /** Multi-TopK: x - z_4K W_dec [B,D]. */
    wideError: wide ? B * D : 0,
    /** e - z_aux W_dec [B,D]. */
    auxError: aux ? B * D : 0,
    /** One tile of pre-activations [rowTile, shardLatents]. */
    pre: Math.min(B, rowTile) * shardLatents,
    /** Every rank's best of every row [ranks,B,listed]. */
    heapValues: ranks * B * listed,
    rowValue: entries,
    latentValue: entries,
    /** BatchTopK: candidates, in order of shard, row, latent. */
    candidateValue: batch ? 2 * B * K : 0,
    /** Nested prefixes: their entries, and their reconstructions, then residuals [G,B,D]. */
    prefixValue: prefixes > 0 ? entries : 0,
    prefixPartial: prefixes * B * D,
    /** Gated: e^r [F], what entries decode to, the residual of the gate's reconstruction [B,D]. */
    gateScale: gate ? F : 0,
    magnitude: gate ? entries : 0,
    gateError: gate ? B * D : 0,
    /** Threshold variants: an entry is listed above `limit` and active above `theta` [F]. */
    limit: above ? F : 0,
    theta: above ? F : 0,
    /** Gradients of one shard's own scalars [6,shardLatents], see kernels/assembly/through.ts. */
    scalarSums: above ? 6 * shardLatents : 0,
    wideRowValue: wide ? B * listed : 0,
    wideLatentValue: wide ? B * listed : 0,
    /** Pre-activations of dead latents [own][B,auxColumns]. */
    auxPre: own * B * auxColumns,
    auxRowValue: auxEntries(config, ranks),
    auxLatentValue: auxEntries(config, ranks),
    /** Gradient rows [2,D] of one shard's dead latents [auxColumns], then of all its latents where they come in chunks; and their sums. */
    auxGradients: (auxColumns + (above ? shardLatents : 0)) * 2 * D,
    auxSums: auxColumns + (above ? shardLatents : 0),
    /** dL/db_enc in the same places, where it is not that sum. */
    biasSums: gate ? auxColumns + shardLatents : 0,
    /** Partial reconstructions of own shards [own,block,D]. */
    leaves: own * (aux ? auxBlock : 1) * D,
    gradients: 2 * D,
    /** The encoder's share of dL/db_dec by shard [own,D]. */
    biasGradients: own * D,
    b_dec: D,
  };
}

/** int32 work space of a step. */
function intArrays(config: TrainerConfig, ranks: number) {
  const { F, own, auxColumns, listed, entries, prefixes } = layout(config, ranks);
  const { B, K } = config;
  const aux = auxColumns > 0;
  const wide = config.multiTopk === true;
  const { selection } = variantOf(config);
  const [above, batch] = [selection === 'threshold', selection === 'batch'];
  return {
    candidateRow: batch ? 2 * B * K : 0,
    candidateLatent: batch ? 2 * B * K : 0,
    /** See kernels/assembly/batch.ts. */
    candidateState: batch ? 2 : 0,
    bins: batch ? 2048 : 0,
    cells: batch ? B * own : 0,
    prefixEnd: prefixes,
    prefixStart: prefixes > 0 ? prefixes * B * own + 1 : 0,
    prefixLatent: prefixes > 0 ? entries : 0,
    rowEnd: above ? own * B : 0,
    /** Rows of this batch on which each latent fires [F]; a second one where entries are listed again. */
    firedNow: F,
    firedAgain: above ? F : 0,
    heapLatent: B * listed,
    rowStart: B * own + 1,
    rowLatent: entries,
    latentStart: F + 1,
    latentRow: entries,
    wideRowStart: wide ? B * own + 1 : 0,
    wideRowLatent: wide ? B * listed : 0,
    wideLatentStart: wide ? F + 1 : 0,
    wideLatentRow: wide ? B * listed : 0,
    /** Of every competing dead latent: its column in the tile, its latent, and ~0 if it must not compete. */
    auxColumn: own * auxColumns,
    auxLatent: own * auxColumns,
    auxHidden: own * auxColumns,
    auxThreshold: aux ? B : 0,
    auxCount: aux ? B : 0,
    auxRoom: 1,
    auxRowStart: aux ? B * own + 1 : 0,
    auxRowLatent: auxEntries(config, ranks),
    auxLatentStart: F + 1,
    auxLatentRow: auxEntries(config, ranks),
    /** 1 + place among its shard's learning dead latents; 0 for the others [F]. */
    auxIndex: F,
    /** The dead latents of one shard that learn in this step, ascending. */
    auxLearning: auxColumns,
    cursor: F,
    heads: ranks,
    /** Of the selection of one row. */
    keys: keyBytes / 4,
  };
}

function auxEntries(config: TrainerConfig, ranks: number): number {
  const { own, auxColumns } = layout(config, ranks);
  return config.B * Math.min(config.auxk, own * auxColumns);
}

function doubleArrays(config: TrainerConfig, ranks: number) {
  const { D } = layout(config, ranks);
  return { squared: config.B, sums: D };
}

const bytesOf = (lengths: Record<string, number>, size: number) =>
  Object.values(lengths).reduce((sum, n) => sum + alignedBytes(n, size), 0);

/** Bytes of one group's memory: weights with moments, and everything that serves a batch. */
export function groupBytes(config: TrainerConfig, ranks: number): { state: number; batch: number } {
  return {
    state: bytesOf(stateArrays(config, ranks), 4),
    batch:
      bytesOf(floatArrays(config, ranks), 4) +
      bytesOf(intArrays(config, ranks), 4) +
      bytesOf(doubleArrays(config, ranks), 8),
  };
}

/** A rank's latents and work space, in one WebAssembly memory. */
export type Group = ReturnType<typeof createGroup>;

/** Allocates it all. Throws when it does not fit one WebAssembly memory (4 GiB). */
export function createGroup(config: TrainerConfig, rank: number, ranks: number) {
  const { state, batch } = groupBytes(config, ranks);
  const arena = createArena(state + batch);
  const allocate = <Lengths extends Record<string, number>, View>(
    lengths: Lengths,
    make: (n: number) => View,
  ) =>
    Object.fromEntries(Object.entries(lengths).map(([name, n]) => [name, make(n)])) as {
      [name in keyof Lengths]: View;
    };
  const sizes = layout(config, ranks);
  const weights = allocate(stateArrays(config, ranks), arena.f32);
  const floats = allocate(floatArrays(config, ranks), arena.f32);
  return {
    ...sizes,
    rank,
    kernels: createKernels(arena.memory),
    weights,
    ...floats,
    /** What is to be reconstructed, scaled and centred [B,D]. */
    y: floats.target.length > 0 ? floats.target : floats.x,
    ...allocate(intArrays(config, ranks), arena.i32),
    ...allocate(doubleArrays(config, ranks), arena.f64),
    /** Adam moments of b_dec, equal on every rank. */
    mBDec: new Float32Array(sizes.D),
    vBDec: new Float32Array(sizes.D),
    emaBDec: new Float32Array(config.ema ? sizes.D : 0),
    /** Steps since each latent last fired. */
    sinceFired: new Int32Array(sizes.F),
    /** Rows on which each latent fired since the start. */
    fired: new Float64Array(sizes.F),
    /** Whether the entries of this batch fitted their lists, see above.ts. */
    whole: true,
    /** Few numbers that change from step to step, equal on every rank: see control.ts. */
    control: startControl(config),
  };
}
