/** Shape letters of the whole project: B sequences or rows, T positions, D model width, V vocabulary, H heads. */
import type { HubOrigin } from '../platform/index.ts';

/** A dense float tensor in row-major order. */
export type Tensor = { readonly data: Float32Array; readonly dims: readonly number[] };

/**
 * A batch of token ids [B,T]. `mask` is 1 for real tokens, 0 for padding, normally on the right; padding on the left
 * works too (positions count real tokens only). Padded rows give the same activations at real positions as the single
 * sequences do; what stands at padded positions has no meaning.
 */
export type TokenBatch = {
  readonly ids: Int32Array;
  readonly mask: Uint8Array;
  readonly B: number;
  readonly T: number;
};

export type ModelFamily = 'llama' | 'gpt2';

export type ModelInfo = {
  /** Folder name or id the user gave. */
  readonly name: string;
  readonly family: ModelFamily;
  readonly D: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly V: number;
  readonly contextLength: number;
  readonly bosTokenId: number | undefined;
  /** Generation stops at any of these. */
  readonly eosTokenIds: readonly number[];
  readonly parameters: number;
  /** sha256 over config.json and the weight files' headers and sizes; identifies a model in run.json. */
  readonly hash: string;
  /** When it came from the hub. */
  readonly origin?: HubOrigin;
};

/** One place in the model that can be read. `width` is the last dimension, D for the residual stream. */
export type HookInfo = { readonly name: string; readonly dims: readonly string[]; readonly width: number };

/** How a chat model's conversations are written: Jinja, and the special tokens by name (`bos_token`, …) that it may use. */
export type ChatTemplate = { readonly source: string; readonly tokens: Readonly<Record<string, string>> };

export type Tokenizer = {
  /** Ids without specials unless `bos` asks for the model's own beginning-of-sequence token. */
  encode(text: string, options?: { bos?: boolean }): number[];
  decode(ids: readonly number[]): string;
  /** One display string per token; bytes of a split character are shown joined by the caller. */
  tokenStrings(ids: readonly number[]): string[];
  readonly vocabularySize: number;
  readonly specialIds: ReadonlySet<number>;
  /** From chat_template.jinja or tokenizer_config.json; absent in models that have none. */
  readonly chatTemplate?: ChatTemplate;
  /** sha256 of tokenizer.json, when it was opened with a model: what was tokenized with another is refused. */
  readonly hash?: string;
};

/**
 * Directions added at one hook, at every position: h <- h + sum_j strengths[j] * directions[j]. The value cached at that
 * hook is the steered one.
 */
export type SteerEdit = {
  readonly hook: string;
  /** [m,D] row-major; m = 0 changes nothing and uses the same session */
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

export type LossOptions = {
  /** Continue from these activations [B,T,width] at `hook` instead of the model's own. */
  readonly from?: { readonly hook: string; readonly activations: Tensor };
  readonly steer?: SteerEdit;
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
  /** Continues the model from `hook` with activations [B,T,width] in place of its own: the SAE splice. Logits [B,T,V]. */
  runFrom(hook: string, activations: Tensor, batch: TokenBatch): Promise<Tensor>;
  /**
   * Next-token loss in nats, [B,T-1]: entry (b,t) is -ln p(ids[b,t+1] | ids[b,..t]), 0 where token t or t+1 is padding.
   * Logits never leave the engine and are made in row tiles, so a large vocabulary costs no memory.
   */
  lossPerToken(batch: TokenBatch, options?: LossOptions): Promise<Tensor>;
  /** The continuation of `prompt`, without it; ends at an end token, at `maxNewTokens` or at the model's context. */
  generate(prompt: string, options?: GenerateOptions): Promise<string>;
  close(): Promise<void>;
};
