/** What stands beside the number of a latent: label, guess, density, largest activation. */
import type { FeatureName } from '../shared/api.ts';
import type { FeatureCard } from '../shared/feature.ts';
import type { FeatureSource } from './features.ts';

export const maximumOf = (card: FeatureCard | undefined): number | undefined =>
  card && card.examples.length > 0 ? Math.max(...card.examples.map(({ value }) => value)) : undefined;

export async function nameOf(
  { run, hook }: { readonly run: string; readonly hook: string },
  source: FeatureSource,
  latent: number,
): Promise<FeatureName> {
  const card = await source.card(latent);
  const label = source.note(latent)?.label;
  const maximum = maximumOf(card);
  return {
    ...{ run, hook, latent },
    ...(label === undefined ? {} : { label }),
    ...(card ? { guess: card.guess, density: card.density } : {}),
    ...(maximum === undefined ? {} : { maximum }),
  };
}

/** Whether a latent fires more often than is wanted, as far as that is known. */
export const tooDense = ({ density }: FeatureName, threshold: number | undefined): boolean =>
  threshold !== undefined && density !== undefined && density > threshold;
