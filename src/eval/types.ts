import type { PackedRows } from '../data/types.ts';
import type { Model } from '../models/types.ts';
import type { SparseCode } from '../sae/types.ts';

/** What a candidate makes of activations x [B,D]: xhat [B,D], of a transcoder [B,Dout], and its sparse code where it has one. */
export type Reconstruction = { readonly xhat: Float32Array; readonly code?: SparseCode };

/** Anything that can stand in for activations: an SAE, PCA, a frozen SAE. All are measured alike. */
export type Candidate = {
  readonly name: string;
  readonly kind: 'sae' | 'control';
  /** F, for candidates that return a code. */
  readonly latents?: number;
  /** Must not keep or change x. ids: the token of each row, where tokens are known. */
  reconstruct(x: Float32Array, B: number, ids?: ArrayLike<number>): Promise<Reconstruction> | Reconstruction;
};

/** The part of a model that evaluation needs. */
export type EvalModel = Pick<Model, 'run' | 'lossPerToken' | 'lastResidual' | 'headLogits'> & {
  readonly info: Pick<Model['info'], 'name' | 'hash' | 'D'> &
    Partial<Pick<Model['info'], 'encoder' | 'quantization'>>;
};

/**
 * Rows of one batch as the evaluator saw them; an observer (the feature index) rides along and saves a second pass.
 * Everything is only valid during the call.
 */
export type ObservedRows = {
  readonly packed: PackedRows;
  /** Flat position in the batch (sequence * T + position) of every measured row [N], ascending. */
  readonly positions: Int32Array;
  /** [N,D] */
  readonly x: Float32Array;
  /** Code of the first candidate that has one. */
  readonly code: SparseCode | undefined;
};
