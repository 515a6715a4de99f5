import { ApiError } from '../errors.ts';

/** @throws ApiError for a latent that the SAE does not have, naming what it has */
export function checkLatent(
  { run, sae }: { readonly run: string; readonly sae: { readonly config: { readonly F: number } } },
  latent: number,
  param = 'latent',
): void {
  const { F } = sae.config;
  if (latent >= F)
    throw new ApiError(`${run} has no latent ${latent}: it has 0 to ${F - 1}.`, {
      status: 404,
      param,
      code: 'feature_not_found',
    });
}
