/** Shape letters of the whole project: B sequences or rows, T positions, D model width, V vocabulary, H heads. */

import type { Message } from '../data/types.ts';
import type { HubOrigin } from '../platform/index.ts';
import type { ModelCost } from './cost.ts';
import type { Intervention } from './steering/types.ts';

export type { ModelCost, PartCost } from './cost.ts';

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

export type ModelFamily =
  | 'bert'
  | 'gemma2'
  | 'gemma3'
  | 'gpt2'
  | 'gpt_neox'
  | 'llama'
  | 'mistral'
  | 'onnx'
  | 'qwen2'
  | 'qwen3';

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
  /** A model such as BERT that predicts no next token: it has hooks, but no logits, no loss and no generation. */
  readonly encoder: boolean;
  readonly bosTokenId: number | undefined;
  /** Generation stops at any of these. */
  readonly eosTokenIds: readonly number[];
  readonly parameters: number;
  /** Identifies a model in run.json: of config.json, the weight files' headers and sizes, and a piece of every tensor (shared/model-hash.ts). */
  readonly hash: string;
  /** How the weights were stored where that loses something: `Q4_1, dequantised to float32`. */
  readonly quantization?: string;
  /** When it came from the hub. */
  readonly origin?: HubOrigin;
};

/** One place in the model that can be read. `width` is the last dimension, D for the residual stream. */
export type HookInfo = { readonly name: string; readonly dims: readonly string[]; readonly width: number };

/** How a chat model's conversations are written: Jinja, and the special tokens by name (`bos_token`, …) that it may use. */
export type ChatTemplate = { readonly source: string; readonly tokens: Readonly<Record<string, string>> };

export type Tokenizer = {
  /** Ids without specials unless `bos` asks for the model's own beginning-of-sequence token; in an encoder, for beginning and end. */
  encode(text: string, options?: { bos?: boolean }): number[];
  /**
   * Ids of a text as the model is asked with it: with what tokenizer.json's post-processor puts around it, which is BOS (Llama, Mistral, Gemma) or
   * nothing (GPT-2, Qwen, SmolLM2), as `tokenizer(text)` of transformers. A text without tokens is BOS, where there is one.
   */
  encodePrompt(text: string): number[];
  decode(ids: readonly number[]): string;
  /** One display string per token; bytes of a split character are shown joined by the caller. */
  tokenStrings(ids: readonly number[]): string[];
  readonly vocabularySize: number;
  readonly specialIds: ReadonlySet<number>;
  /** What ends every text of an encoder ([SEP]); documents are packed with it, too. Its beginning ([CLS]) is what `bos` asks for. */
  readonly endId?: number;
  /** From chat_template.jinja or tokenizer_config.json; absent in models that have none. */
  readonly chatTemplate?: ChatTemplate;
  /**
   * A conversation as the chat model reads it, and which of its characters each role wrote. Absent without a template.
   *
   * @throws when the template is no Jinja that can be read, or refuses the conversation
   */
  readonly renderChat?: ChatRenderer;
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

/**
 * Which hooks: a name, a pattern with `*` for any characters (`blocks.*.hook_resid_post`), several of both, or a function of the
 * name. One that means no hook throws and offers the nearest names.
 */
export type HookFilter = string | readonly string[] | ((name: string) => boolean);

/** What a model can be run on: text (as a prompt, see `Tokenizer.encodePrompt`), several texts, or token ids. */
export type ModelInput = string | readonly string[] | TokenBatch;

export type RunOptions = {
  /** Hook names to return. The graph is cut after the last of them unless logits are wanted. */
  readonly hooks?: readonly string[];
  readonly logits?: boolean;
  readonly steer?: SteerEdit;
  /** Changes on the way, made by `steer` (docs/steering.md). Even an empty list runs in the session that can be steered. */
  readonly interventions?: readonly Intervention[];
  /** Tokens of each row that are its prompt, for changes of written tokens only. Default: all. */
  readonly promptLengths?: readonly number[];
  /** Looked at before and after each part of the batch; large ones run in parts of whole sequences. */
  readonly signal?: AbortSignal;
};

export type RunResult = {
  readonly cache: Readonly<Record<string, Tensor>>;
  /** [B,T,V] when asked for */
  readonly logits: Tensor | undefined;
};

/**
 * A function at a hook. It gets the activations, [B,T,D] at most hooks (`model.hooks` has the dims of each), and returns others of the
 * same shape, as a tensor or as its data alone; or changes the data in place; or returns nothing and leaves them as they are. It may be
 * asynchronous. Position t of sequence b is row b T + t of `data`; at padded positions (`batch.mask` 0) stands nothing of meaning.
 */
export type HookFunction = (
  activations: Tensor,
  where: { readonly hook: string; readonly batch: TokenBatch },
) => HookValue | Promise<HookValue>;
// biome-ignore lint/suspicious/noConfusingVoidType: the type of a function without return.
type HookValue = Tensor | Float32Array | void;

export type HookedOptions = {
  /** Hooks to return, as they are with the functions in place; an edited hook gives its edited value. Default: none. */
  readonly hooks?: HookFilter;
  /** Default true, but in an encoder, which has none. */
  readonly logits?: boolean;
  /** Next-token loss, as `lossPerToken` gives it. Default false. */
  readonly loss?: boolean;
  /** Looked at before each part of the model runs. */
  readonly signal?: AbortSignal;
};

export type HookedResult = RunResult & {
  readonly batch: TokenBatch;
  /** [B,T-1] when asked for */
  readonly loss: Tensor | undefined;
};

export type LossOptions = {
  /** Continue from these activations [B,T,width] at `hook` instead of the model's own. */
  readonly from?: { readonly hook: string; readonly activations: Tensor };
  readonly steer?: SteerEdit;
  readonly interventions?: readonly Intervention[];
  readonly promptLengths?: readonly number[];
  /** Looked at before the model and before each tile of the head. */
  readonly signal?: AbortSignal;
};

export type SamplingOptions = {
  /** Default 64. */
  readonly maxNewTokens?: number;
  /** 0, the default, is greedy: the likeliest token. */
  readonly temperature?: number;
  /** Only the likeliest tokens that together have this probability. Default 1: all. */
  readonly topP?: number;
  /** Only this many of the likeliest tokens. Default: all. */
  readonly topK?: number;
  /** Only tokens with at least this share of the likeliest one's probability. Default 0. */
  readonly minP?: number;
  /** Text that ends a text and is not part of it; it may begin and end inside of tokens. */
  readonly stop?: string | readonly string[];
  /** The same seed gives the same text, alone or among others. One for all prompts, or one for each. Default 0. */
  readonly seed?: number | string | readonly (number | string)[];
  /** Looked at before every token. */
  readonly signal?: AbortSignal;
};

export type GenerateOptions = SamplingOptions & {
  readonly steer?: SteerEdit;
  /** Changes on the way, made by `steer` (docs/steering.md); other features, strengths, positions and rules use the same session. */
  readonly interventions?: readonly Intervention[];
  /** Gets the text as it comes, in pieces of whole characters that together are the result. */
  readonly onText?: (text: string, row: number) => void;
};

export type CaptureOptions = {
  /** Hooks whose activations are kept over every token. */
  readonly capture?: HookFilter;
  /**
   * Gets them as they are computed, per hook one array for each of `ids`: first those of the prompt, then one at a time, steering
   * included. The next token waits for it; `true` ends the text of that row.
   */
  readonly onCapture?: (
    captured: Readonly<Record<string, readonly Float32Array[]>>,
    row: number,
    ids: readonly number[],
  ) => CaptureAnswer | Promise<CaptureAnswer>;
};
// biome-ignore lint/suspicious/noConfusingVoidType: the type of a function without return.
type CaptureAnswer = boolean | void;

export type Generation = {
  /** What was written, without the prompt, specials and the stop string; empty in a model without tokenizer. */
  readonly text: string;
  /** Its tokens; after a stop string, with those that spell it. An end token is not among them. */
  readonly ids: readonly number[];
  readonly promptIds: readonly number[];
  /** At an end token, at a stop string, at `maxNewTokens`, or at the end of the model's context. */
  readonly end: 'token' | 'stop' | 'length' | 'context';
  /** Captured hooks over all tokens, prompt and text, T of them: [T,…], without the B of `model.hooks`; a pattern is [H,T,T]. */
  readonly cache: Readonly<Record<string, Tensor>>;
};

export type ChatRendering = {
  /** Ends with what makes the model answer. Default false. */
  readonly addGenerationPrompt?: boolean;
  /** JSON schemas of functions that the model may call, for templates that know them. */
  readonly tools?: readonly unknown[];
  /** More values that the template reads, such as `enable_thinking`. */
  readonly variables?: Readonly<Record<string, unknown>>;
  /** Whether to find out who wrote what. Default true. */
  readonly spans?: boolean;
};

export type ChatRenderer = (messages: readonly Message[], options?: ChatRendering) => RenderedChat;
/** Characters [start, end) of the text that a role wrote. */
export type RoleSpan = { readonly start: number; readonly end: number; readonly role: string };
export type RenderedChat = { readonly text: string; readonly spans: readonly RoleSpan[] };

export type ChatOptions = GenerateOptions & Pick<ChatRendering, 'tools' | 'variables'>;

/** An opened model: sessions of its graph, cut to what is asked for, and its tokenizer. */
export type Model = {
  readonly info: ModelInfo;
  readonly hooks: readonly HookInfo[];
  readonly tokenizer: Tokenizer | undefined;
  run(batch: TokenBatch, options: RunOptions): Promise<RunResult>;
  /**
   * Tokenizes (BOS first, where the model has one), runs, and returns the activations of some hooks.
   *
   * @example
   * const { cache, batch } = await model.runWithCache(['Two roads', 'One'], 'blocks.*.hook_resid_post');
   */
  runWithCache(
    input: ModelInput,
    hooks: HookFilter,
    options?: { logits?: boolean; signal?: AbortSignal },
  ): Promise<RunResult & { batch: TokenBatch }>;
  /**
   * Runs the model with functions of the caller's own at some hooks, in the order in which the hooks are computed. Keys are hook names
   * or patterns. The slow path: the graph is cut at every edited hook, n hooks open n + 1 sessions at the first call, and
   * activations leave the engine n times. To add a direction, `steer` is faster; to replace one hook's values, `runFrom`.
   *
   * @throws for an unknown hook, for two functions at one hook, and when a function returns another shape
   * @example
   * const zeroed = await model.runWithHooks('Two roads diverged', {
   *   'blocks.2.hook_attn_out': ({ data }) => void data.fill(0),
   * });
   */
  runWithHooks(
    input: ModelInput,
    functions: Readonly<Record<string, HookFunction>>,
    options?: HookedOptions,
  ): Promise<HookedResult>;
  /** Continues the model from `hook` with activations [B,T,width] in place of its own: the SAE splice. Logits [B,T,V]. */
  runFrom(
    hook: string,
    activations: Tensor,
    batch: TokenBatch,
    options?: { signal?: AbortSignal },
  ): Promise<Tensor>;
  /**
   * Next-token loss in nats, [B,T-1]: entry (b,t) is -ln p(ids[b,t+1] | ids[b,..t]), 0 where token t or t+1 is padding.
   * Logits never leave the engine and are made in row tiles, so a large vocabulary costs no memory.
   */
  lossPerToken(batch: TokenBatch, options?: LossOptions): Promise<Tensor>;
  /** The residual after the last block [B,T,D], what the head reads, or an encoder's output; options as of `lossPerToken`. */
  lastResidual(batch: TokenBatch, options?: LossOptions): Promise<Tensor>;
  /** Logits [n,V] of rows of that residual [n,D]: the head alone. A few rows at a time keep a large vocabulary small. */
  headLogits(
    rows: Float32Array,
    options?: { /** Before the soft cap, where a model has one. */ uncapped?: boolean; signal?: AbortSignal },
  ): Promise<Tensor>;
  /** What running takes, for batches of B rows of T positions: up to the last of `hooks`, from there to the last residual, and the head. */
  cost(hooks: readonly string[], shape: { readonly B: number; readonly T: number }): ModelCost;
  /** The continuation of `prompt`, without it; ends at an end token, at `maxNewTokens` or at the model's context. */
  generate(prompt: string, options?: GenerateOptions): Promise<string>;
  /**
   * Continuations of many prompts at once, each the same as alone, with the activations of hooks over every token on request.
   *
   * @example
   * const [one] = await model.generateBatch('Two roads', { capture: 'blocks.2.hook_resid_post', maxNewTokens: 20 });
   * one.cache['blocks.2.hook_resid_post'].dims; // [promptIds.length + ids.length, D]
   */
  generateBatch(input: ModelInput, options?: GenerateOptions & CaptureOptions): Promise<Generation[]>;
  /** The continuation as it is written. Leaving the loop stops it. */
  stream(prompt: string, options?: GenerateOptions): AsyncGenerator<string, Generation>;
  /** The answer to a conversation, written with the model's chat template. */
  chat(messages: readonly Message[], options?: ChatOptions): Promise<string>;
  close(): Promise<void>;
};
