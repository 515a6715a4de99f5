/** What the graph of a transformer depends on, parsed from config.json: plain data, one field per choice. */
import type { ModelWeights } from '../hf-folder.ts';
import type { RopeSpec } from '../rope.ts';
import type { ModelFamily } from '../types.ts';

/** config.json, or the part of it that describes the language model. */
export type Config = Readonly<Record<string, unknown>>;

export type Activation = 'silu' | 'gelu' | 'gelu_tanh' | 'relu';

/** What may differ from layer to layer. */
export type LayerAttention = {
  /** Scores are multiplied by this. */
  readonly scale: number;
  /** Query i sees key j when 0 <= i - j < window; without one, every key up to its own. */
  readonly window?: number;
  /** Rotary positions; in models without any, positions are learned. */
  readonly rope?: RopeSpec;
};

export type TransformerSpec = {
  readonly family: ModelFamily;
  readonly D: number;
  readonly layers: number;
  readonly heads: number;
  /** Query head h reads key and value head floor(h kvHeads / heads). */
  readonly kvHeads: number;
  readonly headDim: number;
  readonly V: number;
  readonly contextLength: number;
  readonly mlpWidth: number;
  readonly normEpsilon: number;
  readonly activation: Activation;
  /** One per layer. Layers with the same window share a mask, those with the same rotary positions their tables. */
  readonly attention: readonly LayerAttention[];
  /** Biases of the query, key and value projections. */
  readonly qkvBias: boolean;
  /** Bias of the attention's output projection. */
  readonly outputBias: boolean;
  readonly mlpBias: boolean;
  readonly tiedHead: boolean;
  /** Every token sees every token, and nothing predicts the next one: no logits, no loss, no generation. */
  readonly encoder?: boolean;
  /** Rows of the table of token types, in models that have one. */
  readonly tokenTypes?: number;
  /** Attention and MLP both read the block's input: x + attn(norm(x)) + mlp(norm(x)). */
  readonly parallel?: boolean;
  /** Queries and keys are normalised, head by head. */
  readonly qkNorm?: boolean;
  /** What attention and MLP write is normalised once more, before it is added. */
  readonly postNorms?: boolean;
  /** RMS norms multiply by this plus the weight. Default 0. */
  readonly normOffset?: number;
  /** The embedding is multiplied by this. Default 1. */
  readonly embedScale?: number;
  /** Scores s become c tanh(s / c). */
  readonly scoreCap?: number;
  /** Logits, likewise. */
  readonly logitCap?: number;
};

/** The same attention in every layer. */
export const everyLayer = (layers: number, attention: LayerAttention): LayerAttention[] =>
  Array.from({ length: layers }, () => attention);

/** The different rotary positions of a model, in the order of their first layer; none where positions are learned. */
export function ropesOf({ attention }: Pick<TransformerSpec, 'attention'>): RopeSpec[] {
  const ropes = new Map<string, RopeSpec>();
  for (const { rope } of attention) if (rope) ropes.set(JSON.stringify(rope), rope);
  return [...ropes.values()];
}

/** A positive integer of config.json. Throws and names the field. */
export function count(config: Config, field: string, fallback?: number): number {
  const value = config[field] ?? fallback;
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 1) {
    throw new Error(`config.json: ${field} is ${JSON.stringify(config[field])}, expected a positive integer`);
  }
  return value;
}

/** No model has as many layers; a larger number is an error in the file, found before anything is made for each of them. */
const MOST_LAYERS = 4096;

/** The number of layers. Throws and names the field. */
export function layerCount(config: Config, field: string, fallback?: number): number {
  const layers = count(config, field, fallback);
  if (layers > MOST_LAYERS)
    throw new Error(`config.json: ${field} is ${layers}, expected at most ${MOST_LAYERS}`);
  return layers;
}

/** D and heads, where all heads together are as wide as the model. Throws and names the fields. */
export function evenHeads(
  config: Config,
  [width, number]: readonly [string, string],
  [D0, heads0]: readonly [number?, number?] = [],
): { D: number; heads: number; headDim: number } {
  const D = count(config, width, D0);
  const heads = count(config, number, heads0);
  if (D % heads !== 0) throw new Error(`config.json: ${width} ${D} is no multiple of ${number} ${heads}`);
  return { D, heads, headDim: D / heads };
}

/** A number of config.json. Throws and names the field. */
export function real(config: Config, field: string, fallback: number): number {
  const value = config[field] ?? fallback;
  if (typeof value !== 'number' || !Number.isFinite(value)) {
    throw new Error(`config.json: ${field} is ${JSON.stringify(value)}, expected a number`);
  }
  return value;
}

/** { [key]: number } when the field has one (or, being absent, the fallback), {} when it is null. */
export function optional<K extends string>(
  key: K,
  config: Config,
  field: string,
  fallback?: number,
): { [P in K]?: number } {
  const value = config[field] === undefined ? fallback : config[field];
  if (value === undefined || value === null) return {};
  return { [key]: real(config, field, value as number) } as { [P in K]?: number };
}

/**
 * Windows of the layers: those that layer_types calls sliding_attention, or, where it is absent, those that `slides` accepts. The width
 * is sliding_window.
 */
export function windowed(
  config: Config,
  attention: readonly LayerAttention[],
  slides: (layer: number) => boolean,
): LayerAttention[] {
  const known = ['full_attention', 'sliding_attention'];
  const types = config.layer_types ?? attention.map((_, layer) => known[slides(layer) ? 1 : 0]);
  if (
    !Array.isArray(types) ||
    types.length !== attention.length ||
    types.some((type) => !known.includes(type))
  )
    throw new Error(
      `config.json: layer_types is ${JSON.stringify(types)}, expected ${attention.length} of ${known.join(' or ')}`,
    );
  return attention.map((one, layer) =>
    types[layer] === known[0] ? one : { ...one, window: count(config, 'sliding_window') },
  );
}

/** Refuses a setting that would change the numbers and is not built. */
export function refuse(config: Config, field: string, allowed: readonly unknown[]): void {
  const value = config[field] ?? allowed[0];
  if (!allowed.includes(value)) {
    throw new Error(
      `config.json: ${field} = ${JSON.stringify(value)} is not supported; supported: ${allowed.map((a) => JSON.stringify(a)).join(', ')}`,
    );
  }
}

/** Reads an activation by its Hugging Face name. */
export function parseActivation(name: unknown, field: string): Activation {
  const known: Record<string, Activation> = {
    silu: 'silu',
    swish: 'silu',
    gelu: 'gelu',
    gelu_new: 'gelu_tanh',
    gelu_pytorch_tanh: 'gelu_tanh',
    gelu_fast: 'gelu_tanh',
    relu: 'relu',
  };
  const activation = typeof name === 'string' && Object.hasOwn(known, name) ? known[name] : undefined;
  if (!activation) {
    throw new Error(
      `config.json: ${field} = ${JSON.stringify(name)} is not supported; supported: ${Object.keys(known).join(', ')}`,
    );
  }
  return activation;
}

/** What the output head is called in these weights, of the names that it may have; the first where there is none. */
export const headName = ({ tensors }: ModelWeights, names: readonly string[]): string =>
  names.find((name) => tensors.has(name)) ?? names[0]!;

/** Whether the output head shares the embedding: as the config says, or when the file holds no head of its own. */
export function isTied(config: Config, fallback: boolean, weights: ModelWeights, headName: string): boolean {
  const tied = config.tie_word_embeddings ?? fallback;
  if (tied !== true && !weights.tensors.has(headName)) {
    throw new Error(
      `config.json says that the output head is not tied to the embedding, and the weights hold no ${headName}`,
    );
  }
  return tied === true;
}
