import type { Sae } from '../sae/types.ts';
import type { StreamedArray } from '../store/types.ts';
import type { VariantName } from './variants/types.ts';

/** The penalty of variants that have one, and what holds their L0: see control.ts. */
export type SparsityConfig = {
  /** lambda at the start; where no L0 is asked for, throughout. */
  readonly coefficient: number;
  /** Mean L0 that is held; 0 leaves the coefficient alone. */
  readonly l0: number;
  /** Steps over which lambda rises from 0, where no L0 is asked for. */
  readonly warmupSteps: number;
  /** p of the penalty sum z^p: 1 until step `from`, then in equal steps down to `end` at the last step (p-annealing). */
  readonly anneal?: { readonly end: number; readonly from: number };
  /** JumpReLU: width of the band in which thresholds learn, in units of s x. */
  readonly bandwidth?: number;
};

/** Everything the trainer needs, nothing left to derive. Tokens are rows of activations. */
export type TrainerConfig = {
  /** Undefined is topk. */
  readonly variant?: VariantName;
  readonly sparsity?: SparsityConfig;
  /** Matryoshka: ends of the nested prefixes, ascending, the last one F. */
  readonly prefixes?: readonly number[];
  readonly D: number;
  /** Of a transcoder: width of the rows y that it is to give, beside the rows x that it reads. */
  readonly Dout?: number;
  readonly F: number;
  readonly K: number;
  /** B, rows per step. */
  readonly B: number;
  readonly totalSteps: number;
  readonly lr: number;
  /** Learning rate of W_enc over lr; undefined is 1, the paper's. */
  readonly encoderLrScale?: number;
  readonly warmupSteps: number;
  readonly decaySteps: number;
  readonly adam: { readonly beta1: number; readonly beta2: number; readonly eps: number };
  readonly auxk: number;
  readonly auxkCoefficient: number;
  /** Multi-TopK: the loss gets an eighth of the reconstruction loss with 4K active latents. */
  readonly multiTopk?: boolean;
  /** Of topk: the K largest magnitudes of each row are active, with their signs. */
  readonly signed?: boolean;
  /** Dead latents start anew every so many steps; 0 or undefined: never. See resample.ts. */
  readonly resampleSteps?: number;
  /** V: every token has a bias [Dout] of its own; undefined: none has. See token-bias.ts. */
  readonly vocabulary?: number;
  /** Decay of the moving average of the weights that is exported; 0 or undefined exports the weights themselves. */
  readonly ema?: number;
  /** A latent that has not fired for this many steps is dead. */
  readonly deadSteps: number;
  readonly freeze: 'none' | 'decoder' | 'soft' | 'encoder';
  readonly seed: number;
  /** S, logical shards: fixes the order of every sum. */
  readonly shards: number;
  /** Threads that carry the shards; 0 runs them on the calling thread. Never changes a bit of the result. */
  readonly workers: number;
};

export type StepMetrics = {
  readonly step: number;
  /** Rows consumed so far. */
  readonly tokens: number;
  /** Reconstruction loss plus penalty, Multi-TopK and AuxK, as minimised. */
  readonly loss: number;
  /** Fraction of variance unexplained on this batch. */
  readonly fvu: number;
  /** The same with 4K active latents; only with Multi-TopK. */
  readonly multiTopkFvu?: number;
  /** Mean number of latents with z > 0. */
  readonly l0: number;
  readonly auxLoss: number;
  readonly dead: number;
  readonly lr: number;
  /** Weight of the sparsity penalty; only with one. */
  readonly coefficient?: number;
  /** The penalty's part of the loss; only with one. */
  readonly penalty?: number;
};

/** What some SAEs are trained on beside the rows x [B,D] that they read. */
export type Beside = {
  /** [B,Dout], of a transcoder: what it is to give. */
  readonly y?: Float32Array | undefined;
  /** [B], with a token bias: the token of each row. */
  readonly tokens?: Int32Array | undefined;
};

/** One training step at a time; the caller owns the data. */
export type Trainer = {
  readonly config: TrainerConfig;
  /** Steps done. */
  readonly step: number;
  /**
   * Sets b_dec to the geometric median, the input scale and the loss scale from a sample [N,D]; of a transcoder with y [N,Dout] beside.
   * Must be called once before the first step. With `from`, weights and biases are those of that SAE instead of random ones,
   * and the trainer computes what it computes. Throws on NaN, and when `from` has other sizes or a decoder of other norms.
   */
  initialize(sample: Float32Array, from?: Sae, beside?: Beside): Promise<void>;
  /** One optimizer step on B rows [B,D]. Throws TrainingDiverged on a non-finite loss, state untouched. */
  train(x: Float32Array, beside?: Beside): Promise<StepMetrics>;
  /** The SAE as it stands (its moving average, with `ema`), unit-norm decoder, input scaling folded in: takes raw activations. */
  exportSae(metadata?: Record<string, unknown>): Promise<Sae>;
  /** Times each latent fired since the start [F], in rows. */
  firingCounts(): Promise<Float64Array>;
  /** Complete state as named arrays, for a bit-exact continuation; `restore` takes it back. A copy, as large as the trainer's own. */
  state(): Promise<Map<string, Float32Array | Int32Array | Float64Array>>;
  /** The same piece by piece, without a copy of the whole: to be written while no step runs. */
  streamState(): Map<string, StreamedArray>;
  restore(
    state: ReadonlyMap<string, Float32Array | Int32Array | Float64Array | StreamedArray>,
  ): Promise<void>;
  /** Bytes this trainer holds, by purpose, as printed before anything is allocated. */
  readonly budget: Readonly<Record<string, number>>;
  close(): Promise<void>;
};
