/**
 * What a model takes, known once its headers are read and before any weight is: the weights as float32 that its sessions hold, and what one
 * run needs inside. With --low-memory, F32 weights are mapped from the file: pages that the system can take back are not counted.
 */
import { PIECE } from '../models/generation/pieces.ts';
import type { Model, ModelCost, ModelInfo, PartCost } from '../models/types.ts';
import { UsageError } from '../shared/errors.ts';
import type { TrainPlan } from './types.ts';

export type ModelMemory = {
  /** Weights and the inside of a run, in memory of this process. */
  readonly bytes: number;
  /** Weights that are mapped from their file beside that. */
  readonly mapped: number;
  /** What the machine can still give. */
  readonly available: number;
};

export type ModelNeeds = {
  readonly hooks: readonly string[];
  readonly B: number;
  readonly T: number;
  /** Up to the last of the hooks, or the rest and the head, too. */
  readonly whole: boolean;
};

/** @param available for tests */
export function memoryOf(
  { before, after, head }: ModelCost,
  whole: boolean,
  available = process.availableMemory(),
): ModelMemory {
  const parts: PartCost[] = whole ? [before, after, head] : [before];
  const sum = (read: (part: PartCost) => number): number => parts.reduce((a, part) => a + read(part), 0);
  return {
    bytes: sum(({ weightBytes }) => weightBytes) + Math.max(...parts.map(({ innerBytes }) => innerBytes)),
    mapped: sum(({ mappedBytes }) => mappedBytes),
    available,
  };
}

export const modelMemory = (model: Pick<Model, 'cost'>, { hooks, B, T, whole }: ModelNeeds): ModelMemory =>
  memoryOf(model.cost(hooks, { B, T }), whole);

/** 1.2 GB or 34 MB. */
export const size = (bytes: number): string =>
  bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${Math.round(bytes / 1e6)} MB`;

/** One phrase for headers. */
export const modelMemoryText = ({ bytes, mapped, available }: ModelMemory): string =>
  `${size(bytes)} for the model${mapped > 0 ? ` and ${size(mapped)} mapped from its file` : ''}, ${size(available)} available`;

/** @throws UsageError when the model does not fit, with the numbers and what to do */
export function requireModelMemory(
  { name }: Pick<ModelInfo, 'name'>,
  { hooks, whole }: Pick<ModelNeeds, 'hooks' | 'whole'>,
  found: ModelMemory,
): void {
  if (found.bytes <= found.available) return;
  const [first = ''] = hooks;
  const layer = Number(/^blocks\.(\d+)\./.exec(first)?.[1] ?? 0);
  const advice = [
    ...(!whole && layer > 0 ? ['read an earlier layer (--hook): the model is cut behind it'] : []),
    ...(found.mapped === 0
      ? ['map F32 weights from the file (--low-memory); half precision is turned into float32 in memory']
      : []),
    'take a smaller model',
  ];
  throw new UsageError(
    `${name} does not fit: ${whole ? 'the whole model' : `up to ${hooks.join(', ')} it`} takes ${size(found.bytes)}, ${size(found.available)} are available. What helps: ${advice.join('; ')}.`,
  );
}

/**
 * The same for writing a text, or reading one where the model is an encoder. For a model whose weights are not loaded yet.
 *
 * @returns what it takes; undefined where no hook says how wide a token is
 */
export function requireWritingMemory({
  cost,
  hooks,
  info,
}: Pick<Model, 'cost' | 'hooks' | 'info'>): ModelMemory | undefined {
  const last = hooks.findLast(({ name }) => name.endsWith('resid_post'))?.name;
  if (last === undefined) return undefined;
  const needs = { hooks: [last], B: 1, T: Math.min(info.contextLength, PIECE), whole: !info.encoder };
  const found = modelMemory({ cost }, needs);
  requireModelMemory(info, needs, found);
  return found;
}

/** The same for a training plan; rows from disk need no model. */
export function requirePlanMemory({
  model,
  cost,
  settings,
}: Pick<TrainPlan, 'model' | 'cost' | 'settings'>): void {
  if (model && cost)
    requireModelMemory(model, { hooks: [settings.hook], whole: false }, memoryOf(cost, false));
}
