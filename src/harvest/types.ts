/** Rows of activations on their way to the trainer, with where each row came from. */
export type ActivationRows = {
  /** [B,D] row-major */
  readonly x: Float32Array;
  readonly B: number;
  readonly D: number;
  /** Token id of every row [B]. */
  readonly tokens: Int32Array;
};

/** Where the wall time went, in milliseconds: `data` tokenizes and packs, `model` runs, `sae` trains. */
export type StageTimes = { data: number; model: number; sae: number };

/**
 * An endless or finite stream of shuffled activation rows. `next` fills and returns B rows,
 * or undefined when fewer than B are left and the data is exhausted. Rows go `into` an array [B,D] of the caller's, when
 * one is given: a training loop that reuses one spares the garbage collector a batch per step.
 */
export type ActivationStream = {
  readonly D: number;
  next(B: number, into?: Float32Array): Promise<ActivationRows | undefined>;
  readonly stages: StageTimes;
  /** Tokens taken from the model so far (rows kept, after exclusions). */
  readonly tokensSeen: number;
  /** How many times the data was started again from the beginning. */
  readonly epochs: number;
  close(): Promise<void>;
};
