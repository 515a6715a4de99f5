/** Evidence from features/cards.json. */
import type { FeatureCard } from '../../shared/feature.ts';
import { readResults } from '../../workflows/inspect.ts';
import { type Evidence, maximumOf, type Said, sameToken } from './source.ts';

const NONE: readonly FeatureCard[] = [];

const largestOn = ({ examples }: FeatureCard) =>
  maximumOf(Math.max(0, ...examples.map(({ value }) => value)));

export async function cardSource(folder: string): Promise<Evidence> {
  const { cards } = await readResults(folder);
  const all = cards?.cards ?? NONE;
  const byLatent = new Map(all.map((card) => [card.latent, card]));
  /** Place, from 1, of the first text of each card that is this token. */
  const places = (token: string, textsOf: (card: FeatureCard) => readonly string[]): Map<number, number> =>
    new Map(
      all.flatMap((card) => {
        const i = textsOf(card).findIndex((text) => sameToken(text, token));
        return i < 0 ? [] : [[card.latent, i + 1] as const];
      }),
    );
  return {
    latents: [...byLatent.keys()],
    name(latent) {
      const card = byLatent.get(latent);
      return card ? { guess: card.guess, density: card.density, ...largestOn(card) } : {};
    },
    async about(latent) {
      const card = byLatent.get(latent);
      if (!card) return undefined;
      const { label: _, ...evidence } = card;
      return { ...evidence, ...largestOn(card) };
    },
    neighbours: async () => undefined,
    said: async () => (latent) => {
      const card = byLatent.get(latent);
      if (!card) return [];
      const texts = card.examples.map(({ left, peak, right }) => [...left, peak, ...right].join(''));
      const passages = [...texts, ...card.peakTokens.map(({ token }) => token)];
      return [{ in: 'guess', text: card.guess }, ...passages.map((text): Said => ({ in: 'passage', text }))];
    },
    peaksAt: async (token) =>
      places(token, ({ examples, peakTokens }) => [
        ...peakTokens.map((peak) => peak.token),
        ...examples.map(({ peak }) => peak),
      ]),
    raises: async (token) => places(token, ({ raises }) => raises.map((raised) => raised.token)),
    close: async () => {},
  };
}
