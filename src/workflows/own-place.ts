/** Where an SAE was trained, as far as its folder says: only there do recorded numbers hold, and only of there is its eval.json. */
import type { Model } from '../models/types.ts';
import type { SaeConfig } from '../sae/index.ts';
import { sameModel, shortHash } from '../shared/model-hash.ts';
import type { Run } from '../shared/run.ts';

/** What is not known is undefined. */
export type Place = {
  readonly hook: string | undefined;
  readonly outputHook: string | undefined;
  readonly modelHash: string | undefined;
};

const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

/** By the SAE's own cfg.json, else by the run. */
export const trainedAt = (
  { metadata }: Pick<SaeConfig, 'metadata'>,
  run: Pick<Run, 'resolved' | 'provenance'> | undefined,
): Place => ({
  hook: text(metadata.hook_name) ?? text(run?.resolved.hook),
  outputHook: text(metadata.hook_name_out) ?? text(run?.resolved.outputHook),
  modelHash: text(metadata.model_hash) ?? run?.provenance.model?.hash,
});

/** What a model and hooks are, to be compared with it. */
export const placeOf = (
  { hook, outputHook }: Pick<Place, 'hook' | 'outputHook'>,
  { info }: Pick<Model, 'info'>,
): Place => ({ hook, outputHook, modelHash: info.hash });

/** How `here` is not where the SAE was trained: the end of a sentence. Undefined where it is, as far as both are known. */
export function elsewhere(trained: Place, here: Place): string | undefined {
  const other = (a: string | undefined, b: string | undefined): boolean =>
    a !== undefined && b !== undefined && a !== b;
  if (other(trained.hook, here.hook)) return `it was trained at ${trained.hook}, this is ${here.hook}`;
  if (other(trained.outputHook, here.outputHook))
    return `it was trained to give ${trained.outputHook}, this is ${here.outputHook}`;
  const [of, at] = [trained.modelHash, here.modelHash];
  if (of !== undefined && at !== undefined && !sameModel(of, at))
    return `it was trained on a model with the hash ${shortHash(of)}, this one has ${shortHash(at)}`;
  return undefined;
}
