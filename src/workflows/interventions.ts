/** Interventions as people write them -> SAEs loaded and everything by its name found. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { HubAccess } from '../hub/types.ts';
import { fromBytes } from '../platform/index.ts';
import { loadSae } from '../sae/load.ts';
import type { SelfTest } from '../sae/self-test.ts';
import type { Sae } from '../sae/types.ts';
import { UsageError } from '../shared/errors.ts';
import type { InterventionConfig } from '../shared/intervention.ts';
import { type InterventionSpec, readVector, type SteeringVector } from '../steer/index.ts';
import { readRun } from '../store/index.ts';
import { pinned, saeFolder } from './hub.ts';
import { readResults } from './inspect.ts';
import { recordedTest } from './recorded.ts';

/** An SAE by the name that it was given. */
export type NamedSae = {
  readonly name: string;
  readonly folder: string;
  readonly sae: Sae;
  readonly test: SelfTest;
};

/** From the least known to the best known. */
const TRUST = ['wrong', 'unverified', 'measured', 'verified'] as const;

/** Of several SAEs, what is known of the least known. */
export const leastKnown = (saes: Iterable<NamedSae>): SelfTest | undefined =>
  [...saes].map(({ test }) => test).sort((a, b) => TRUST.indexOf(a.state) - TRUST.indexOf(b.state))[0];

/** Loads each SAE that is named, once. `known` keeps them for the next call; `otherModel` takes SAEs and directions of another model. */
export async function openInterventions(
  configs: readonly InterventionConfig[],
  {
    known = new Map(),
    otherModel = false,
    ...access
  }: HubAccess & { readonly known?: Map<string, NamedSae>; readonly otherModel?: boolean } = {},
): Promise<InterventionSpec[]> {
  const open = async (name: string): Promise<NamedSae> => {
    const found = known.get(name);
    if (found) return found;
    const folder = await saeFolder(name, access);
    const test = await recordedTest(name);
    const opened = { name, folder, sae: await loadSae(name, access), test };
    known.set(name, opened);
    return opened;
  };
  const specs: InterventionSpec[] = [];
  for (const { sae: name, vector: path, when, ...rest } of configs) {
    const own = name === undefined ? undefined : await open(name);
    const other = when?.sae === undefined ? undefined : await open(when.sae);
    const direction = path === undefined ? undefined : await openVector(path);
    specs.push({
      ...rest,
      ...(otherModel ? { otherModel } : {}),
      ...(own ? { sae: own.sae } : {}),
      ...(when ? { when: { ...conditionOf(when), ...(other ? { sae: other.sae } : {}) } } : {}),
      ...(own && rest.unit === 'max' ? { max: await largestActivation(own, rest.latent) } : {}),
      ...(direction ? { vector: direction.vector, hook: rest.hook ?? direction.hook } : {}),
      ...(direction?.metadata.model_hash === undefined ? {} : { vectorModel: direction.metadata.model_hash }),
    });
  }
  return specs;
}

const conditionOf = ({ sae: _, ...condition }: NonNullable<InterventionConfig['when']>) => condition;

async function openVector(path: string): Promise<SteeringVector> {
  const bytes = await readFile(path).catch((error: Error) => {
    throw new UsageError(`The vector ${path} cannot be read: ${error.message}.`);
  });
  return await readVector(fromBytes(bytes), path);
}

/** The largest activation on the latent's card. */
async function largestActivation({ name, folder }: NamedSae, latent: number | undefined): Promise<number> {
  const { cards } = await readResults(folder);
  const card = cards?.cards.find((one) => one.latent === latent);
  const largest = Math.max(0, ...(card?.examples ?? []).map(({ value }) => value));
  if (largest > 0) return largest;
  throw new UsageError(
    `The largest activation of latent ${latent} of ${name} is not known: ${card ? 'its feature card has no passage on which it fires' : cards ? `its ${cards.cards.length} feature cards are of other latents` : 'it has no feature cards (saekit eval makes them)'}. Give the value as an activation, without max.`,
  );
}

/** The model to steer: the one that was named, or the one that the SAEs were trained on, or that the files of directions name. */
export async function steeredModel(
  given: string | undefined,
  saes: readonly NamedSae[],
  vectors: readonly string[] = [],
): Promise<string> {
  if (given !== undefined) return given;
  for (const { folder } of saes) {
    if (!existsSync(join(folder, 'run.json'))) continue;
    const { config, provenance } = await readRun(folder);
    const { model } = pinned(config, provenance);
    if (model !== undefined) return model;
  }
  for (const path of vectors) {
    const { model } = (await openVector(path)).metadata;
    if (model !== undefined) return model;
  }
  throw new UsageError(
    saes.length === 0
      ? `${vectors.join(', ') || 'What is changed'} does not say which model it is for. Give --model.`
      : `${saes.map(({ name }) => name).join(', ')}: no run folder of a model, so the model is not known. Give --model.`,
  );
}
