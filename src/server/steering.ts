/** Interventions of a request, by run -> those of the model. */
import { planSteering, SteeringConflict } from '../models/steering/plan.ts';
import type { Intervention } from '../models/steering/types.ts';
import type { RunIntervention } from '../shared/api.ts';
import { createRng } from '../shared/rng.ts';
import { type InterventionSpec, steer } from '../steer/index.ts';
import { ApiError, badRequest } from './errors.ts';
import type { Lab, OpenRun } from './lab.ts';
import { checkLatent } from './operations/latent.ts';

/** The runs that some features name, each once. */
export const runsOf = (
  features: readonly {
    readonly run?: string | undefined;
    readonly when?: { readonly run?: string | undefined } | undefined;
  }[],
): string[] => [
  ...new Set(features.flatMap(({ run, when }) => [run, when?.run]).filter((run) => run !== undefined)),
];

type Steering = {
  readonly lab: Lab;
  readonly open: readonly OpenRun[];
  readonly param: string;
  readonly signal: AbortSignal;
};

/**
 * @param param the field of the features, for errors
 * @throws ApiError naming the feature that cannot be: an unknown latent, a value that is missing, one that does not go with another, …
 */
export async function interventionsOf(
  features: readonly RunIntervention[],
  { lab, open, param, signal }: Steering,
): Promise<Intervention[]> {
  const made: Intervention[] = [];
  for (const [i, feature] of inActivations(features, { open, param }).entries()) {
    const here = `${param}[${i}]`;
    const { run, when, latent, ...rest } = feature;
    const runOf = (name: string): OpenRun => open.find((one) => one.run === name)!;
    const { sae, hook, model } = runOf(run);
    if (latent !== undefined) checkLatent(runOf(run), latent, `${here}.latent`);
    if (when) checkLatent(runOf(when.run ?? run), when.latent, `${here}.when.latent`);
    const { run: other, ...condition } = when ?? {};
    // Optional fields are absent, never undefined.
    const spec = JSON.parse(JSON.stringify({ ...rest, latent, when: when && condition })) as InterventionSpec;
    try {
      const named: InterventionSpec = {
        ...spec,
        sae,
        // A transcoder is written where its file says, not where it reads.
        ...(sae.config.Dout === undefined ? { hook } : {}),
        ...(spec.when && other !== undefined ? { when: { ...spec.when, sae: runOf(other).sae } } : {}),
      };
      // A patch runs the model on its text.
      made.push(...(await lab.readers.run(signal, () => steer(model, [named], { signal }))));
    } catch (error) {
      if (error instanceof ApiError || signal.aborted) throw error;
      throw badRequest(`${here}: ${(error as Error).message}`, here);
    }
  }
  const [first] = features;
  try {
    if (first) planSteering(open.find(({ run }) => run === first.run)!.model.hooks, made);
  } catch (error) {
    if (!(error instanceof SteeringConflict)) throw error;
    const here = `${param}[${made.indexOf(error.intervention)}]`;
    throw badRequest(`${here}: ${error.message}`, here);
  }
  return made;
}

/** Values in units of the largest activation as activations: the random latents of a control have others. @throws ApiError where it is not known */
export function inActivations(
  features: readonly RunIntervention[],
  { open, param }: Pick<Steering, 'open' | 'param'>,
): RunIntervention[] {
  return features.map((feature, i) => {
    const { run, latent, unit, mode, value } = feature;
    // A factor has no unit: `steer` says so.
    if (unit !== 'max' || latent === undefined || value === undefined || mode === 'scale') return feature;
    const { maximum: max, density } = open.find((one) => one.run === run)!.features.name(latent);
    if (max === undefined)
      throw badRequest(
        `${param}[${i}].unit: the largest activation of latent ${latent} of ${run} is not known${density === 0 ? ': it never fired in the text that was indexed' : ''}. Give the value in activations.`,
        `${param}[${i}].unit`,
      );
    return { ...feature, unit: 'activation' as const, value: value * max };
  });
}

/** The control: every latent replaced by a random one of the same SAE. undefined where there is none to replace. */
export function randomLatents(
  features: readonly RunIntervention[],
  open: readonly OpenRun[],
  seed: number,
): RunIntervention[] | undefined {
  const rng = createRng(`${seed}/random latents`);
  if (features.some(({ latent }) => latent === undefined)) return undefined;
  return features.map((feature) => {
    const { F } = open.find(({ run }) => run === feature.run)!.sae.config;
    // Not the latent itself.
    const latent = (feature.latent! + 1 + rng.int(Math.max(1, F - 1))) % F;
    return { ...feature, latent };
  });
}
