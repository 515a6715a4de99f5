/** Evidence from features/cards.json. */
import type { FeatureCard } from '../../shared/feature.ts';
import { readResults } from '../../workflows/inspect.ts';
import type { Evidence } from './source.ts';

const NONE: readonly FeatureCard[] = [];

const maximumOf = ({ examples }: FeatureCard): { maximum?: number } =>
  examples.length === 0 ? {} : { maximum: Math.max(...examples.map(({ value }) => value)) };

export async function cardSource(folder: string): Promise<Evidence> {
  const { cards } = await readResults(folder);
  const all = cards?.cards ?? NONE;
  const byLatent = new Map(all.map((card) => [card.latent, card]));
  const where = (holds: (card: FeatureCard) => boolean): number[] =>
    all.filter(holds).map(({ latent }) => latent);
  return {
    latents: [...byLatent.keys()],
    name(latent) {
      const card = byLatent.get(latent);
      return card ? { guess: card.guess, density: card.density, ...maximumOf(card) } : {};
    },
    async about(latent) {
      const card = byLatent.get(latent);
      if (!card) return undefined;
      const { label: _, ...evidence } = card;
      return { ...evidence, ...maximumOf(card) };
    },
    neighbours: async () => undefined,
    async words(latent) {
      const { guess = '', peakTokens = [], examples = [] } = byLatent.get(latent) ?? {};
      const passages = examples.map(({ left, peak, right }) => [...left, peak, ...right].join(''));
      return [guess, ...peakTokens.map(({ token }) => token), ...passages].join('\n');
    },
    peaksAt: async (token) =>
      where(({ examples, peakTokens }) =>
        [...examples.map(({ peak }) => peak), ...peakTokens.map((peak) => peak.token)].some(
          (text) => text.trim() === token.trim(),
        ),
      ),
    raises: async (token) =>
      where(({ raises }) => raises.some((raised) => raised.token.trim() === token.trim())),
    close: async () => {},
  };
}
