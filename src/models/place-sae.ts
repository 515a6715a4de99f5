/** Which hook an SAE reads, and whether it belongs to a model. */

import type { Sae } from '../sae/types.ts';
import { sameModel, shortHash } from '../shared/model-hash.ts';
import { findHook } from './hooks.ts';
import { rowWidth } from './steering/plan.ts';
import type { Model } from './types.ts';

/** An SAE and where it goes. */
export type Placement = {
  /** Default: `hook_name` of the SAE's metadata. */
  readonly hook?: string;
  /** Take an SAE that was trained on another model, such as the base of a fine-tuned one. The width must fit all the same. */
  readonly otherModel?: boolean;
};

/** What of a model is looked at. */
export type Fitting = Pick<Model, 'hooks' | 'info'>;

/**
 * The hook that an SAE reads in a model.
 *
 * @throws when the SAE names no hook, the model has no such hook, its width is another one, or the SAE was trained on another model
 */
export function placeSae(
  { hooks, info }: Fitting,
  sae: Sae,
  { hook, otherModel = false }: Placement,
): string {
  const { D, F, metadata } = sae.config;
  const { hook_name, model_name, model_hash } = metadata;
  const name = hook ?? hook_name;
  if (typeof name !== 'string')
    throw new Error(
      `The SAE (D ${D}, F ${F}) does not say which hook it reads: its cfg.json has no hook_name in its metadata. Name the hook.`,
    );
  const { dims, width } = findHook(hooks, name);
  // [B,T,H,headDim] lies in memory as [B,T,H headDim].
  const flat = sae.config.flattened === true && dims.length === 4 && dims[1] === 'T';
  if (dims.length !== 3 && !flat)
    throw new Error(`An SAE reads hooks of [B,T,width]; ${name} is [${dims.join(',')}].`);
  const found = flat ? Number(dims[2]) * width : width;
  if (found !== D)
    throw new Error(
      `The SAE reads activations of width ${D}, but ${name} of ${info.name} has width ${found}. Is it for another model or another hook?`,
    );
  if (!otherModel && typeof model_hash === 'string' && !sameModel(model_hash, info.hash))
    throw new Error(
      `The SAE at ${name} was trained on ${typeof model_name === 'string' ? model_name : 'a model'} with hash ${shortHash(model_hash)}; ${info.name} has ${shortHash(info.hash)}. Open that model. To use the SAE all the same: otherModel: true, or on the command line --allow-wrong (generate, export, steer-report).`,
    );
  return name;
}

/**
 * For what adds the output to the model at one place, or compares it with what is there.
 *
 * @throws for a layer of a cross-layer transcoder
 */
export function refuseSeveralPlaces({ config: { D, F, places } }: Sae): void {
  if (places !== undefined)
    throw new Error(
      `The SAE (D ${D}, F ${F}) is a layer of a cross-layer transcoder, which writes to ${places} layers. What a layer gets is the sum of what all before write to it, so one alone is neither measured nor put into the model. It can be inspected, indexed, encoded and decoded.`,
    );
}

/**
 * The hook where an SAE writes: the one that it reads; of a transcoder `given`, else `hook_name_out` of its metadata, else the output of the
 * MLP beside what it reads.
 *
 * @throws when the model has no such hook, or one of another width, and for a layer of a cross-layer transcoder
 */
export function outputPlace({ hooks }: Fitting, sae: Sae, reads: string, given?: string): string {
  const { Dout, metadata } = sae.config;
  refuseSeveralPlaces(sae);
  if (Dout === undefined) {
    if (given === undefined) return reads;
    throw new Error(`The SAE at ${reads} is no transcoder: it writes where it reads, not at ${given}.`);
  }
  const { hook_name_out: said } = metadata;
  const mlp = reads.replace(/^(.*blocks\.\d+)\..*$/, '$1.hook_mlp_out');
  const writes = given ?? (typeof said === 'string' ? said : mlp);
  const width = rowWidth(findHook(hooks, writes));
  if (width !== Dout)
    throw new Error(`The transcoder at ${reads} writes width ${Dout}, but ${writes} has width ${width}.`);
  return writes;
}
