/** What is known of the latents of one run. Today from features/cards.json and labels.jsonl, behind an interface that an index can take over. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { FeatureCard, FeatureLabel } from '../shared/feature.ts';
import { readLabels } from '../store/index.ts';
import { readResults } from '../workflows/inspect.ts';

export type FeatureSource = {
  /** Latents with evidence, most interesting first. */
  readonly latents: readonly number[];
  card(latent: number): Promise<FeatureCard | undefined>;
  /** Latents for which every word stands in label, guess, note, tokens or examples. */
  search(words: readonly string[]): Promise<number[]>;
  /** Whose examples peak at a token with this text. */
  peaksAt(token: string): Promise<number[]>;
  /** Which raise a token with this text. */
  raises(token: string): Promise<number[]>;
  note(latent: number): FeatureLabel | undefined;
};

const EMPTY: readonly FeatureCard[] = [];

export async function openFeatures(folder: string): Promise<FeatureSource> {
  const [{ cards }, notes] = await Promise.all([readResults(folder), readLabels(folder)]);
  const all = cards?.cards ?? EMPTY;
  const byLatent = new Map(all.map((card) => [card.latent, card]));
  // Latents that only a person has said something of can be found, too.
  const latents = [...byLatent.keys(), ...[...notes.keys()].filter((latent) => !byLatent.has(latent))];
  let texts: ReadonlyMap<number, string> | undefined;
  const textOf = (latent: number): string => {
    const { label = '', note = '' } = notes.get(latent) ?? {};
    const { guess = '', peakTokens = [], examples = [] } = byLatent.get(latent) ?? {};
    const passages = examples.map(({ left, peak, right }) => [...left, peak, ...right].join(''));
    return [label, note, guess, ...peakTokens.map(({ token }) => token), ...passages]
      .join('\n')
      .toLowerCase();
  };
  return {
    latents,
    card: async (latent) => byLatent.get(latent),
    async search(words) {
      texts ??= new Map(latents.map((latent) => [latent, textOf(latent)]));
      const wanted = words.map((word) => word.toLowerCase());
      return latents.filter((latent) => wanted.every((word) => texts!.get(latent)!.includes(word)));
    },
    peaksAt: async (token) =>
      all
        .filter(({ examples, peakTokens }) =>
          [...examples.map(({ peak }) => peak), ...peakTokens.map((peak) => peak.token)].some(
            (text) => text.trim() === token.trim(),
          ),
        )
        .map(({ latent }) => latent),
    raises: async (token) =>
      all
        .filter(({ raises }) => raises.some((raised) => raised.token.trim() === token.trim()))
        .map(({ latent }) => latent),
    note: (latent) => notes.get(latent),
  };
}

/** Changes when one of the small files of a run does. */
export async function versionOf(folder: string): Promise<string> {
  const files = [join('features', 'cards.json'), 'labels.jsonl', 'eval.json', 'run.json', 'cfg.json'].map(
    (file) => join(folder, file),
  );
  const times = await Promise.all(
    files.map((file) =>
      stat(file).then(
        ({ mtimeMs, size }) => `${mtimeMs}/${size}`,
        () => '-',
      ),
    ),
  );
  return times.join(' ');
}
