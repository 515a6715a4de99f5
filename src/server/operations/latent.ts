import { ApiError } from '../errors.ts';
import type { OpenRun } from '../lab.ts';

/** @throws ApiError for a latent beyond F, naming what the SAE has */
export function checkLatentBelow(F: number, run: string, latent: number, param = 'latent'): void {
  if (latent >= F)
    throw new ApiError(`${run} has no latent ${latent}: it has 0 to ${F - 1}.`, {
      status: 404,
      param,
      code: 'feature_not_found',
    });
}

/** @throws ApiError for a latent that the SAE does not have, naming what it has */
export function checkLatent(
  { run, sae }: Pick<OpenRun, 'run' | 'sae'>,
  latent: number,
  param?: string,
): void {
  checkLatentBelow(sae.config.F, run, latent, param);
}
