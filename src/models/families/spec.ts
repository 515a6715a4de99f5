/** What the graph of a decoder-only transformer depends on, parsed from config.json: plain data, one field per choice. */
import type { ModelWeights } from '../hf-folder.ts';
import type { RopeSpec } from '../rope.ts';
import type { ModelFamily } from '../types.ts';

export type Activation = 'silu' | 'gelu' | 'gelu_tanh' | 'relu';

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
  /** Scores are multiplied by this, one per layer. */
  readonly attentionScales: readonly number[];
  readonly attentionBias: boolean;
  readonly mlpBias: boolean;
  readonly tiedHead: boolean;
  /** Rotary positions; without them, positions are learned. */
  readonly rope: RopeSpec | undefined;
};

type Config = Readonly<Record<string, unknown>>;

/** A positive integer of config.json. Throws and names the field. */
export function count(config: Config, field: string, fallback?: number): number {
  const value = config[field] ?? fallback;
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 1) {
    throw new Error(`config.json: ${field} is ${JSON.stringify(config[field])}, expected a positive integer`);
  }
  return value;
}

/** A number of config.json. Throws and names the field. */
export function real(config: Config, field: string, fallback: number): number {
  const value = config[field] ?? fallback;
  if (typeof value !== 'number' || !Number.isFinite(value)) {
    throw new Error(`config.json: ${field} is ${JSON.stringify(value)}, expected a number`);
  }
  return value;
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
