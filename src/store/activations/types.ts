/** What is known about stored activations besides the numbers; absent where the file does not say. */
export type ActivationMeta = {
  readonly model?: string;
  readonly modelHash?: string;
  readonly tokenizerHash?: string;
  readonly hook?: string;
  /** Of training documents or of held-out ones; only folders of ours say. */
  readonly part?: 'train' | 'heldout';
  readonly contextLength?: number;
};

/**
 * Rows of activations that lie somewhere and can be read in any order: our own shards, or files of another program. One file per
 * format opens one; a training stream, an evaluation and `saekit inspect` read them all the same way.
 */
export type ActivationSource = {
  /** For people: `saekit shards`, `npy`, `Parquet`, … */
  readonly format: string;
  /** What to call it in messages. */
  readonly name: string;
  readonly D: number;
  readonly rows: number;
  /** Identifies the content: a saved position of one source is refused by another. */
  readonly fingerprint: string;
  readonly meta: ActivationMeta;
  /** Where held-out rows lie that belong to these, for `openActivations`; without it, hold out some of these (`splitRows`). */
  readonly heldout?: string;
  /** Rows [start, start + count) as float32 into `into` [count,D]. Errors name the file and the row. */
  read(start: number, count: number, into: Float32Array): Promise<void>;
  /** Token ids of those rows, where they are stored. */
  readTokens?(start: number, count: number): Promise<Int32Array>;
  /** File and row of a row, for messages. */
  where?(row: number): string;
  close(): Promise<void>;
};
