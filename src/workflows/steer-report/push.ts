/** What is done to the model, as an option of its runs: at every token but special ones. */
import type { Model } from '../../models/index.ts';
import type { Intervention } from '../../models/steering/types.ts';
import type { Sae } from '../../sae/index.ts';
import { type InterventionSpec, steer } from '../../steer/index.ts';

/** Goes into `generateBatch`, `lossPerToken` and `lastResidual` alike; empty without steering. */
export type Push = { readonly interventions?: readonly Intervention[] };

/** clamp: z_f = value;  add: z_f + value. Either way the push is along the decoder row. */
export type PushMode = 'clamp' | 'add';

export async function pushLatent(
  model: Model,
  spec: { readonly sae: Sae; readonly hook: string; readonly latent: number; readonly value: number } & {
    readonly mode: PushMode;
    readonly positions?: InterventionSpec['positions'];
  },
): Promise<Push> {
  // That the SAE is of the model was looked at when it was placed.
  const { hook, ...rest } = { ...spec, otherModel: true };
  // A transcoder knows where it reads and where it writes; `hook` is where it reads.
  return {
    interventions: await steer(model, [spec.sae.config.Dout === undefined ? { ...rest, hook } : rest]),
  };
}

/** The hook that the latents of an SAE change: the one it reads, of a transcoder the one it gives. */
export async function changedHook(model: Model, sae: Sae, hook: string): Promise<string> {
  const { interventions } = await pushLatent(model, { sae, hook, latent: 0, mode: 'add', value: 0 });
  return interventions![0]!.writes;
}

/** h <- h + direction, as wide as the hook. */
export async function pushDirection(model: Model, hook: string, vector: Float32Array): Promise<Push> {
  return { interventions: await steer(model, [{ hook, vector, mode: 'add', value: 1 }]) };
}
