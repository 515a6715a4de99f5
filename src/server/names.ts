/** What stands beside the number of a latent: label, guess, density, largest activation. */
import type { FeatureName } from '../shared/api.ts';
import type { FeatureSource } from './features/source.ts';

export function nameOf(
  { run, hook }: { readonly run: string; readonly hook: string },
  source: FeatureSource,
  latent: number,
): FeatureName {
  const { label, origin } = source.note(latent) ?? {};
  return {
    ...{ run, hook, latent },
    ...(label === undefined ? {} : { label, ...(origin ? { origin } : {}) }),
    ...source.name(latent),
  };
}

/** Whether a latent fires more often than is wanted, as far as that is known. */
export const tooDense = ({ density }: FeatureName, threshold: number | undefined): boolean =>
  threshold !== undefined && density !== undefined && density > threshold;
