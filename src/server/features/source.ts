/** What is known of the latents of one run: from feature tables where there are some (all latents), else from cards (the most interesting). */
import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { FeatureEvidence, FeatureName } from '../../shared/api.ts';
import type { FeatureLabel } from '../../shared/feature.ts';
import { MANIFEST_FILE, readLabels } from '../../store/index.ts';
import { cardSource } from './cards.ts';
import { tableSource } from './tables.ts';

/** Text of token ids, from the run's own tokenizer. */
export type TokenTexts = {
  /** Of tokens in a row; a character of several tokens stands at the peak, or at the first of them. */
  passage(ids: readonly number[], peak: number): Promise<string[]>;
  /** Of each token by itself. */
  names(ids: readonly number[]): Promise<string[]>;
};

/** Where the evidence comes from. */
export type Evidence = {
  /** Latents with evidence, most interesting first. */
  readonly latents: readonly number[];
  /** What stands beside a latent's number. */
  name(latent: number): Pick<FeatureName, 'guess' | 'density' | 'maximum'>;
  about(latent: number, texts: TokenTexts): Promise<FeatureEvidence | undefined>;
  /** Nearest decoder rows, where they are known. */
  neighbours(latent: number): Promise<{ latent: number; cosine: number }[] | undefined>;
  /** What can be searched of a latent, beside label and note. */
  words(latent: number, texts: TokenTexts): Promise<string>;
  /** Of a word in small letters, how many passages of a latent have it; without, `words` has the passages, or none are searched. */
  passages?(word: string, texts: TokenTexts): Promise<(latent: number) => number>;
  /** Whose commonest peaks have this text. */
  peaksAt(token: string, texts: TokenTexts): Promise<number[]>;
  /** Which raise a token with this text. */
  raises(token: string, texts: TokenTexts): Promise<number[]>;
  close(): Promise<void>;
};

export type Found = {
  readonly latents: readonly number[];
  /** Passages with the words, of latents that were found by those alone. */
  readonly passages?: ReadonlyMap<number, number>;
};

export type FeatureSource = Omit<Evidence, 'words' | 'passages'> & {
  /** Latents for which every word stands in label, note, guess or passages; those with all in the label first, then in the others, then by passages. */
  search(words: readonly string[], texts: TokenTexts): Promise<Found>;
  note(latent: number): FeatureLabel | undefined;
};

export async function openFeatures(folder: string): Promise<FeatureSource> {
  const features = join(folder, 'features');
  const tables = existsSync(join(features, MANIFEST_FILE)) ? await tableSource(features) : undefined;
  const evidence = tables ?? (await cardSource(folder));
  const notes = await readLabels(folder);
  // Latents that only a person has said something of can be found, too.
  const known = new Set(evidence.latents);
  const latents = [...known, ...[...notes.keys()].filter((latent) => !known.has(latent))];
  let lines: Map<number, string> | undefined;
  return {
    ...evidence,
    latents,
    note: (latent) => notes.get(latent),
    async search(words, texts) {
      if (!lines) {
        const made = new Map<number, string>();
        for (const latent of latents) {
          const { label = '', note = '' } = notes.get(latent) ?? {};
          made.set(latent, [label, note, await evidence.words(latent, texts)].join('\n').toLowerCase());
        }
        lines = made;
      }
      const wanted = words.map((word) => word.toLowerCase());
      const named = (word: string, latent: number): boolean => lines!.get(latent)!.includes(word);
      const found = latents.filter((latent) => wanted.every((word) => named(word, latent)));
      // What a person called so, or an import, is what is looked for.
      const called = new Set(
        found.filter((latent) => {
          const label = notes.get(latent)?.label?.toLowerCase() ?? '';
          return wanted.every((word) => label.includes(word));
        }),
      );
      const first = [...called, ...found.filter((latent) => !called.has(latent))];
      if (!evidence.passages) return { latents: first };
      const counts: ((latent: number) => number)[] = [];
      for (const word of wanted) counts.push(await evidence.passages(word, texts));
      const taken = new Set(first);
      const passages = new Map<number, number>();
      for (const latent of latents) {
        if (taken.has(latent)) continue;
        let sum = 0;
        const all = wanted.every((word, i) => {
          const n = counts[i]!(latent);
          sum += n;
          return n > 0 || named(word, latent);
        });
        if (all) passages.set(latent, sum);
      }
      const rest = [...passages].sort((a, b) => b[1] - a[1]).map(([latent]) => latent);
      return { latents: [...first, ...rest], passages };
    },
  };
}

const FILES = [
  join('features', 'cards.json'),
  join('features', MANIFEST_FILE),
  'labels.jsonl',
  'eval.json',
  'run.json',
  'cfg.json',
];

/** Changes when one of the small files of a run does. */
export async function versionOf(folder: string): Promise<string> {
  const times = FILES.map((file) =>
    stat(join(folder, file)).then(
      ({ mtimeMs, size }) => `${mtimeMs}/${size}`,
      () => '-',
    ),
  );
  return (await Promise.all(times)).join(' ');
}
