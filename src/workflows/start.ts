/** `initFrom`: the SAE that a run starts from. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { loadSae, type Sae } from '../sae/index.ts';
import { UsageError } from '../shared/errors.ts';
import type { Provenance } from '../shared/run.ts';
import { checkStart } from '../train/index.ts';
import type { TrainPlan } from './types.ts';

export type Start = {
  readonly sae?: Sae | undefined;
  /** For run.json. */
  readonly initialSae?: Provenance['initialSae'];
};

/** @throws UsageError when the SAE does not fit the plan; the errors of `loadSae` */
export async function openStart({ config: { initFrom }, trainer }: TrainPlan): Promise<Start> {
  if (initFrom === undefined) return {};
  const sae = await loadSae(initFrom);
  try {
    checkStart(trainer, sae);
  } catch (error) {
    throw new UsageError(`${initFrom}: ${(error as Error).message}`);
  }
  const sha256 = createHash('sha256');
  for (const name of ['cfg.json', 'sae_weights.safetensors'])
    for await (const chunk of createReadStream(join(initFrom, name))) sha256.update(chunk as Buffer);
  return { sae, initialSae: { path: initFrom, sha256: sha256.digest('hex') } };
}
