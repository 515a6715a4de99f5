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
  return { interventions: await steer(model, [spec]) };
}

/** h <- h + direction [D]. */
export async function pushDirection(model: Model, hook: string, vector: Float32Array): Promise<Push> {
  return { interventions: await steer(model, [{ hook, vector, mode: 'add', value: 1 }]) };
}

/** The decoder row of a latent [D]. */
export function decoderRow({ config: { D }, W_dec }: Sae, latent: number): Float32Array {
  return W_dec.slice(latent * D, (latent + 1) * D);
}
