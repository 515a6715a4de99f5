/** Shape letters of the whole project: B sequences or rows, T positions, D model width, V vocabulary, H heads. */

/** A dense float tensor in row-major order. */
export type Tensor = { readonly data: Float32Array; readonly dims: readonly number[] };

/**
 * A batch of token ids [B,T], right-padded. `mask` is 1 for real tokens, 0 for padding.
 * Padded rows give the same activations at real positions as the single sequences do.
 */
export type TokenBatch = {
  readonly ids: Int32Array;
  readonly mask: Uint8Array;
  readonly B: number;
  readonly T: number;
};

export type ModelInfo = {
  /** Folder name or id the user gave. */
  readonly name: string;
  readonly family: 'llama' | 'gpt2';
  readonly D: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly V: number;
  readonly contextLength: number;
  readonly bosTokenId: number | undefined;
  readonly parameters: number;
  /** sha256 over config.json and the weight files' headers and sizes; identifies a model in run.json. */
  readonly hash: string;
};

/** One place in the model that can be read. `width` is the last dimension, D for the residual stream. */
export type HookInfo = { readonly name: string; readonly dims: readonly string[]; readonly width: number };

export type Tokenizer = {
  /** Ids without specials unless `bos` asks for the model's own beginning-of-sequence token. */
  encode(text: string, options?: { bos?: boolean }): number[];
  decode(ids: readonly number[]): string;
  /** One display string per token; bytes of a split character are shown joined by the caller. */
  tokenStrings(ids: readonly number[]): string[];
  readonly vocabularySize: number;
  readonly specialIds: ReadonlySet<number>;
};

/** Directions added to the residual stream at one hook: h <- h + sum_j strengths[j] * directions[j]. */
export type SteerEdit = {
  readonly hook: string;
  /** [m,D] row-major */
  readonly directions: Float32Array;
  /** [m] in the units of the directions */
  readonly strengths: Float32Array;
};

export type RunOptions = {
  /** Hook names to return. The graph is cut after the last of them unless logits are wanted. */
  readonly hooks?: readonly string[];
  readonly logits?: boolean;
  readonly steer?: SteerEdit;
};

export type RunResult = {
  readonly cache: Readonly<Record<string, Tensor>>;
  /** [B,T,V] when asked for */
  readonly logits: Tensor | undefined;
};

export type GenerateOptions = {
  readonly maxNewTokens?: number;
  /** 0 is greedy. */
  readonly temperature?: number;
  readonly topP?: number;
  readonly seed?: number | string;
  readonly steer?: SteerEdit;
  readonly signal?: AbortSignal;
};

/** An opened model: sessions of its graph, cut to what is asked for, and its tokenizer. */
export type Model = {
  readonly info: ModelInfo;
  readonly hooks: readonly HookInfo[];
  readonly tokenizer: Tokenizer | undefined;
  run(batch: TokenBatch, options: RunOptions): Promise<RunResult>;
  /** Tokenizes (BOS first, where the model has one), runs, and returns the named activations. */
  runWithCache(
    text: string | readonly string[],
    hooks: string | readonly string[],
    options?: { logits?: boolean },
  ): Promise<RunResult & { batch: TokenBatch }>;
  /** Continues the model from `hook` with activations [B,T,D] in place of its own: the SAE splice. */
  runFrom(hook: string, activations: Tensor, batch: TokenBatch): Promise<Tensor>;
  generate(prompt: string, options?: GenerateOptions): Promise<string>;
  close(): Promise<void>;
};
