/**
 * Changes in terms of SAEs, latents and modes -> what a model runs with.
 *
 *     z' = min(max(a z + b, least), most)          add 1,v   scale v,0   clamp 0,v   zero 0,0   at-least 1,0 and v <=   at-most 1,0 and <= v
 *     h' = h + (z' - z) d                          d: the latent's decoder row [D], or a direction of one's own
 *
 * A TopK or threshold is not asked again after a change, and all changes at a hook read z from h as it arrives.
 */
import { findHook } from '../models/hooks.ts';
import { type Fitting, outputPlace, placeSae } from '../models/place-sae.ts';
import { rowWidth } from '../models/steering/plan.ts';
import type { Change, Condition, Intervention } from '../models/steering/types.ts';
import type { Model } from '../models/types.ts';
import { describeSae } from '../sae/check.ts';
import { latentColumn } from '../sae/edit.ts';
import { encode } from '../sae/encode.ts';
import type { Sae } from '../sae/types.ts';
import {
  type InterventionConfigInput,
  isEmptyRange,
  MAX_STRENGTH,
  type SteeringMode,
} from '../shared/intervention.ts';
import { sameModel, shortHash } from '../shared/model-hash.ts';
import { latentCode } from './code.ts';

/** An intervention as in files and on the command line (docs/steering.md), with the SAE itself in place of its name. */
export type InterventionSpec = Omit<InterventionConfigInput, 'sae' | 'vector' | 'when'> & {
  readonly sae?: Sae;
  /** [D] in place of a latent: z = x . u with u of length 1. Needs `hook`. */
  readonly vector?: Float32Array;
  /** Hash of the model that `vector` was made on, as its file says. */
  readonly vectorModel?: string;
  readonly when?: Omit<NonNullable<InterventionConfigInput['when']>, 'sae'> & { readonly sae?: Sae };
  /** The largest activation of the latent, for `unit: 'max'`. */
  readonly max?: number;
  /** Take an SAE that was trained, or a direction that was made, on another model. */
  readonly otherModel?: boolean;
};

type Steerable = Fitting & Pick<Model, 'tokenizer' | 'runWithCache'>;

const free = { least: Number.NEGATIVE_INFINITY, most: Number.POSITIVE_INFINITY };

/** Modes that cannot do without a value. */
const valued: readonly SteeringMode[] = ['add', 'clamp', 'at-least', 'at-most', 'scale'];

/**
 * Interventions for `model.generate` and the other ways to run a model. Making them costs nothing; features, strengths, positions and rules
 * may change from call to call.
 *
 * @throws for an unknown hook or latent, an SAE of another model or hook (both named), values that are missing or too large,
 * positions without a token, a mean over no token
 * @example
 * const louder = await steer(model, [{ sae, latent: 3508, mode: 'clamp', value: 30 }]);
 * await model.generate('The meeting will be held', { interventions: louder });
 */
export async function steer(
  model: Steerable,
  specs: readonly InterventionSpec[],
  options: { readonly signal?: AbortSignal } = {},
): Promise<Intervention[]> {
  options.signal?.throwIfAborted();
  return await Promise.all(specs.map((spec) => intervention(model, spec, options)));
}

async function intervention(
  model: Steerable,
  spec: InterventionSpec,
  options: { readonly signal?: AbortSignal },
): Promise<Intervention> {
  const { sae, latent, mode = 'add', positions = 'all', specials = false, keepError = true } = spec;
  const fromOther = mode === 'patch' || mode === 'mean';
  if ((sae === undefined) === (spec.vector === undefined) && !(fromOther && sae === undefined))
    throw new Error(
      'An intervention takes an SAE or a direction of your own: give one of `sae` and `vector`.',
    );
  if (mode === 'splice' && (sae === undefined || latent !== undefined))
    throw new Error(
      `splice takes a whole SAE, without a latent; found ${sae ? `latent ${latent}` : 'a direction'}. Leave it out, or choose another mode.`,
    );
  const empty = typeof positions === 'string' ? undefined : positions.find(isEmptyRange);
  if (empty)
    throw new Error(`positions [${empty.join(', ')}) has no token: expected [from, to) with to behind from.`);
  const { reads, writes } = placeOf(model, spec);
  const common = {
    ...{ reads, writes, positions },
    except: specials ? new Set<number>() : (model.tokenizer?.specialIds ?? new Set<number>()),
    ...(spec.when ? { when: condition(model, spec, spec.when, reads) } : {}),
    ...(sae ? { code: latentCode(sae) } : {}),
  };
  if (spec.when && (mode === 'splice' || (latent === undefined && !spec.vector)))
    throw new Error(
      `A rule goes with the change of a latent or direction, not with ${mode} of a whole hook.`,
    );
  const reconstruct = keepError || !sae ? {} : { replace: 'reconstruction' as const };
  if (mode === 'splice') return { ...common, replace: 'reconstruction' };
  if (latent === undefined && spec.vector === undefined) {
    if (!fromOther) throw new Error(`${mode} needs \`latent\`: which of the SAE's.`);
    const { code: _, ...whole } = common;
    return {
      ...whole,
      replace: await otherRows(model, spec, writes, rowWidth(findHook(model.hooks, writes)), options),
    };
  }
  const what = sae ? `latent ${latent} at ${writes}` : `the direction at ${writes}`;
  if (sae) checkLatent(sae, latent!);
  const direction = sae
    ? latentCode(sae).W_dec.subarray(latent! * latentCode(sae).Dout, (latent! + 1) * latentCode(sae).Dout)
    : mode === 'add'
      ? spec.vector!
      : unit(spec.vector!, what);
  const made: Intervention = {
    ...common,
    ...reconstruct,
    ...(latent === undefined ? {} : { latent }),
    direction,
    change: fromOther ? await otherLatent(model, spec, reads, options) : changeOf(spec, what),
  };
  if (mode === 'suppress' && spec.when)
    throw new Error('suppress has a rule of its own, `above`; with another rule use zero or clamp.');
  if (mode === 'suppress' && !sae)
    throw new Error('suppress needs a latent; for a direction use at-most, or a rule with `when`.');
  if (mode === 'suppress' && sae)
    return {
      ...made,
      when: {
        code: latentCode(sae),
        reads,
        latent: latent!,
        above: finite(spec.above ?? 0, `above of ${what}`),
      },
    };
  return made;
}

/** Where it is read and written. */
function placeOf(
  model: Fitting,
  { sae, vector, vectorModel, hook, otherModel }: InterventionSpec,
): { reads: string; writes: string } {
  if (sae === undefined) {
    if (hook === undefined) throw new Error('A direction of your own needs `hook`: where it is added.');
    const width = rowWidth(findHook(model.hooks, hook));
    if (vector && vector.length !== width)
      throw new Error(`The direction has ${vector.length} numbers, but ${hook} has width ${width}.`);
    if (!otherModel && vectorModel !== undefined && !sameModel(vectorModel, model.info.hash))
      throw new Error(
        `The direction at ${hook} was made on a model with hash ${shortHash(vectorModel)}; ${model.info.name} has ${shortHash(model.info.hash)}. Open that model, or make the direction anew. To use it all the same: otherModel: true, or on the command line --allow-wrong.`,
      );
    return { reads: hook, writes: hook };
  }
  const { Dout } = sae.config;
  const placement = { ...(otherModel === undefined ? {} : { otherModel }) };
  if (Dout === undefined) {
    const reads = placeSae(model, sae, hook === undefined ? placement : { ...placement, hook });
    return { reads, writes: reads };
  }
  const reads = placeSae(model, sae, placement);
  return { reads, writes: outputPlace(model, sae, reads, hook) };
}

function condition(
  model: Fitting,
  { sae: own, otherModel }: InterventionSpec,
  { sae = own, latent, above, below }: NonNullable<InterventionSpec['when']>,
  ownReads: string,
): Condition {
  if (sae === undefined)
    throw new Error('A rule of a direction needs the SAE of the latent that it looks at.');
  if ((above === undefined) === (below === undefined))
    throw new Error('A rule needs one of `above` and `below`: the threshold of the latent that it looks at.');
  checkLatent(sae, latent);
  const reads = sae === own ? ownReads : placeSae(model, sae, otherModel === undefined ? {} : { otherModel });
  return {
    ...{ code: latentCode(sae), reads, latent },
    ...(above === undefined
      ? { below: finite(below!, `below of latent ${latent}`) }
      : { above: finite(above, `above of latent ${latent}`) }),
  };
}

/** [z'(z)] of a mode. */
function changeOf({ sae, mode = 'add', value, unit: inUnits, max }: InterventionSpec, what: string): Change {
  if (value === undefined && valued.includes(mode)) throw new Error(`${mode} of ${what} needs a value.`);
  if (inUnits === 'max' && mode === 'scale')
    throw new Error(`scale of ${what} takes a factor, which has no unit: leave out \`unit\`.`);
  if (inUnits === 'max' && max === undefined)
    throw new Error(
      `${what}: its largest activation is not known, so a value in units of it means nothing. ${sae ? 'Give `max`.' : 'Give the value without max.'}`,
    );
  const v = (value ?? 0) * (inUnits === 'max' ? max! : 1);
  if (!(Math.abs(v) <= MAX_STRENGTH))
    throw new Error(
      `${mode} of ${what}: the value is ${v}; expected a number from -${MAX_STRENGTH} to ${MAX_STRENGTH}.`,
    );
  if (mode === 'add') return { ...free, scale: 1, shift: v };
  if (mode === 'scale') return { ...free, scale: v, shift: 0 };
  if (mode === 'at-least') return { ...free, scale: 1, shift: 0, least: v };
  if (mode === 'at-most') return { ...free, scale: 1, shift: 0, most: v };
  return { ...free, scale: 0, shift: mode === 'zero' ? 0 : v };
}

/** Float32 is what the model counts in. */
function finite(value: number, what: string): number {
  if (Number.isFinite(Math.fround(value))) return value;
  throw new Error(`${what}: the value ${value} is not a finite number of 32 bits (up to 3.4e38).`);
}

function checkLatent({ config }: Sae, latent: number): void {
  const { F, metadata } = config;
  if (!(Number.isInteger(latent) && latent >= 0 && latent < F))
    throw new Error(
      `Latent ${latent} is not there: the SAE at ${metadata.hook_name ?? 'its hook'} (${describeSae(config)}) has latents 0 to ${F - 1}.`,
    );
}

function unit(vector: Float32Array, what: string): Float32Array {
  const length = Math.hypot(...vector);
  if (!(length > 0 && Number.isFinite(length)))
    throw new Error(`${what} has length ${length}; it needs one that is finite and not 0.`);
  return vector.map((value) => value / length);
}

/** What stood at a hook in the run of another text, [T,D]; of `mean` the mean over its tokens, [1,D]. */
async function otherRun(
  model: Pick<Model, 'runWithCache' | 'tokenizer'>,
  { text, mode, specials = false }: InterventionSpec,
  hook: string,
  options: { readonly signal?: AbortSignal },
): Promise<{ data: Float32Array; used: readonly number[] }> {
  if (text === undefined)
    throw new Error(`${mode} needs \`text\`: the text of the run that the activations come from.`);
  const { cache, batch } = await model.runWithCache(text, hook, options);
  const used = [...batch.ids.keys()].filter(
    (t) => specials || !model.tokenizer?.specialIds.has(batch.ids[t]!),
  );
  if (used.length === 0)
    throw new Error(
      `${mode} of ${JSON.stringify(text)}: all of its ${batch.ids.length} tokens are special ones, which are left out. Give a text with others, or set \`specials\`.`,
    );
  return { data: cache[hook]!.data, used };
}

/** z of the other run, at every position of it or its mean. */
async function otherLatent(
  model: Pick<Model, 'runWithCache' | 'tokenizer'>,
  spec: InterventionSpec,
  reads: string,
  options: { readonly signal?: AbortSignal },
): Promise<Change> {
  const { data, used } = await otherRun(model, spec, reads, options);
  const { sae, latent, vector, mode } = spec;
  const u = sae ? undefined : unit(vector!, 'the direction');
  const z = u
    ? Float32Array.from({ length: data.length / u.length }, (_, t) =>
        u.reduce((sum, value, d) => sum + value * data[t * u.length + d]!, 0),
      )
    : latentColumn(await encode(sae!, data, options), latent!);
  const mean = used.reduce((sum, t) => sum + z[t]!, 0) / used.length;
  return { ...free, scale: 0, shift: mode === 'mean' ? mean : z };
}

/** Rows of the other run in place of a hook's own. */
async function otherRows(
  model: Pick<Model, 'runWithCache' | 'tokenizer'>,
  spec: InterventionSpec,
  hook: string,
  width: number,
  options: { readonly signal?: AbortSignal },
): Promise<Float32Array> {
  const { data, used } = await otherRun(model, spec, hook, options);
  if (spec.mode !== 'mean') return data;
  const mean = new Float32Array(width);
  for (const t of used) for (let d = 0; d < width; d++) mean[d]! += data[t * width + d]! / used.length;
  return mean;
}
