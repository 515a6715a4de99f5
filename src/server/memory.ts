/**
 * Whether the memory for a model is there, asked before its weights are loaded:
 *
 *     needed <= available + what this model was granted before       which may be loaded by now
 *
 * Reading texts takes the model up to a hook, writing them all of it, so a large model can be looked into where it cannot write.
 */
import type { Model } from '../models/types.ts';
import { type ModelMemory, modelMemory, requireModelMemory } from '../workflows/index.ts';

type Granted = { bytes: number; readonly asked: Set<string> };

/** Tokens at a time, on which what a run needs beside the weights depends. */
const TOKENS = 512;
const models = new WeakMap<object, Granted>();

/**
 * @param hook a text is read up to it; undefined: texts are written
 * @param read for tests
 * @throws UsageError when the model does not fit
 */
export function requireMemory(
  model: Pick<Model, 'cost' | 'info' | 'hooks'>,
  hook: string | undefined,
  read: typeof modelMemory = modelMemory,
): void {
  const { info, hooks } = model;
  const known: Granted = models.get(model) ?? { bytes: 0, asked: new Set() };
  models.set(model, known);
  const last = hook ?? hooks.findLast(({ name }) => name.endsWith('resid_post'))?.name;
  const key = hook ?? 'all';
  if (last === undefined || known.asked.has(key)) return;
  const needs = {
    hooks: [last],
    B: 1,
    T: Math.min(info.contextLength, TOKENS),
    whole: hook === undefined && !info.encoder,
  };
  const memory: ModelMemory = read(model, needs);
  requireModelMemory(info, needs, { ...memory, available: memory.available + known.bytes });
  known.bytes = Math.max(known.bytes, memory.bytes);
  known.asked.add(key);
}
