/**
 * What is known of the latents of one run: from feature tables where there are some (all latents), else from cards (the most interesting).
 * The label that fits best is the one of both that was measured on more tokens of it.
 */
import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { FeatureEvidence, FeatureName, Match } from '../../shared/api.ts';
import type { FeatureLabel } from '../../shared/feature.ts';
import { MANIFEST_FILE } from '../../store/index.ts';
import { SAE_FILES } from '../../workflows/sae-files.ts';
import { cardSource } from './cards.ts';
import { tableSource } from './tables.ts';

/** Of a latent that never fired none is known, and 0 would be one. */
export const maximumOf = (largest: number): Pick<FeatureName, 'maximum'> =>
  largest > 0 ? { maximum: largest } : {};

/** Text of token ids, from the run's own tokenizer. */
export type TokenTexts = {
  /** Of tokens in a row; a character of several tokens stands at the peak, or at the first of them. */
  passage(ids: readonly number[], peak: number): Promise<string[]>;
  /** Of each token by itself. */
  names(ids: readonly number[]): Promise<string[]>;
};

/** A text in which words are looked for. */
export type Said = { readonly in: Match['in']; readonly text: string };

/** Passages with a word. */
export type WordInPassages = {
  /** How many of a latent have it. */
  count(latent: number): number;
  /** The strongest of those. */
  first(latent: number): Promise<string | undefined>;
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
  /** What can be searched of a latent, beside label and note; read once for all of them. */
  said(): Promise<(latent: number) => readonly Said[]>;
  /** A word in small letters in all passages; without, `said` has the passages, or none are searched. */
  passages?(word: string, texts: TokenTexts): Promise<WordInPassages>;
  /** Latents whose commonest peaks have this text, and which place it has among them, from 1. */
  peaksAt(token: string, texts: TokenTexts): Promise<ReadonlyMap<number, number>>;
  /** Which raise a token with this text, and which place it has. */
  raises(token: string, texts: TokenTexts): Promise<ReadonlyMap<number, number>>;
  close(): Promise<void>;
};

export type Found = {
  readonly latents: readonly number[];
  /** Passages with the words, of latents that were found by those alone. */
  readonly passages?: ReadonlyMap<number, number>;
  /** Why a latent was found; of those that are shown. */
  why?(latent: number): Promise<Match | undefined>;
};

export type FeatureSource = Omit<Evidence, 'said' | 'passages'> & {
  /** Latents for which every word stands in label, note, guess or passages; those with all in the label first, then in the others, then by passages. */
  search(words: readonly string[], texts: TokenTexts, inPassages?: boolean): Promise<Found>;
  note(latent: number): FeatureLabel | undefined;
};

/** Evidence, which changes when a run is indexed anew, and what is searched in it. */
export type KnownEvidence = Evidence & {
  readonly known: ReadonlySet<number>;
  /** Of each latent all of `said`, in small letters. */
  lines(): Promise<readonly (string | undefined)[]>;
};

export async function openEvidence(folder: string): Promise<KnownEvidence> {
  const features = join(folder, 'features');
  const tables = existsSync(join(features, MANIFEST_FILE)) ? await tableSource(features) : undefined;
  const cards = await cardSource(folder);
  const evidence: Evidence = !tables
    ? cards
    : {
        ...tables,
        async about(latent, texts) {
          const found = await tables.about(latent, texts);
          const best = (await cards.about(latent, texts))?.best;
          const more = (best?.positives ?? 0) > (found?.best?.positives ?? 0);
          return found && best && more ? { ...found, best } : found;
        },
      };
  let lines: Promise<readonly (string | undefined)[]> | undefined;
  async function readLines(): Promise<readonly (string | undefined)[]> {
    const made: (string | undefined)[] = [];
    const said = await evidence.said();
    // In rising order an array stays one: 131,072 latents take a moment.
    for (const latent of Int32Array.from(evidence.latents).sort()) made[latent] = lineOf(said(latent));
    return made;
  }
  return {
    ...evidence,
    known: new Set(evidence.latents),
    lines() {
      lines ??= readLines();
      lines.catch(() => {
        lines = undefined;
      });
      return lines;
    },
  };
}

function lineOf(said: readonly Said[]): string {
  let line = '';
  for (const { text } of said) line += `${text}\n`;
  return line.toLowerCase();
}

const saidBy = ({ label, note }: Partial<FeatureLabel>): Said[] => [
  ...(label === undefined ? [] : [{ in: 'label', text: label } as const]),
  ...(note === undefined ? [] : [{ in: 'note', text: note } as const]),
];

/** Evidence and what people say, which changes at any time: put together anew for each request. */
export function withNotes(evidence: KnownEvidence, notes: ReadonlyMap<number, FeatureLabel>): FeatureSource {
  // Latents that only a person has said something of can be found, too.
  const more = [...notes.keys()].filter((latent) => !evidence.known.has(latent));
  const latents = more.length === 0 ? evidence.latents : [...evidence.latents, ...more];
  return {
    ...evidence,
    latents,
    note: (latent) => notes.get(latent),
    async search(words, texts, inPassages = true) {
      const lines = await evidence.lines();
      const wanted = words.map((word) => word.toLowerCase());
      const own = new Map([...notes].map(([latent, note]) => [latent, lineOf(saidBy(note))]));
      const named = (word: string, latent: number): boolean =>
        (own.get(latent)?.includes(word) || lines[latent]?.includes(word)) ?? false;
      const found = latents.filter((latent) => wanted.every((word) => named(word, latent)));
      // What a person called so, or an import, is what is looked for.
      const called = new Set(
        found.filter((latent) => {
          const label = notes.get(latent)?.label?.toLowerCase() ?? '';
          return wanted.every((word) => label.includes(word));
        }),
      );
      const first = [...called, ...found.filter((latent) => !called.has(latent))];
      const near =
        evidence.passages && inPassages ? await allPassages(evidence.passages, wanted, texts) : undefined;
      const why = async (latent: number): Promise<Match | undefined> => {
        const said = [...saidBy(notes.get(latent) ?? {}), ...(await evidence.said())(latent)];
        const title = said[0]?.text.toLowerCase() ?? '';
        // What the name does not show by itself has to be shown.
        const word = wanted.find((one) => !title.includes(one)) ?? wanted[0]!;
        const where = said.find(({ text }) => text.toLowerCase().includes(word));
        if (where) return { in: where.in, text: around(where.text, word) };
        const passage = await near?.get(word)?.first(latent);
        return passage === undefined ? undefined : { in: 'passage', text: around(passage, word) };
      };
      if (!near) return { latents: first, why };
      const taken = new Set(first);
      const passages = new Map<number, number>();
      for (const latent of latents) {
        if (taken.has(latent)) continue;
        let sum = 0;
        const all = wanted.every((word) => {
          const n = near.get(word)!.count(latent);
          sum += n;
          return n > 0 || named(word, latent);
        });
        if (all) passages.set(latent, sum);
      }
      const rest = [...passages].sort((a, b) => b[1] - a[1]).map(([latent]) => latent);
      return { latents: [...first, ...rest], passages, why };
    },
  };
}

async function allPassages(
  passages: NonNullable<Evidence['passages']>,
  words: readonly string[],
  texts: TokenTexts,
): Promise<ReadonlyMap<string, WordInPassages>> {
  const near = new Map<string, WordInPassages>();
  for (const word of words) near.set(word, await passages(word, texts));
  return near;
}

/** Characters on either side of a word that are shown with it. */
const REACH = 48;

/** A word (in small letters) and what is around it, in one line. */
export function around(text: string, word: string): string {
  const line = text.replaceAll('\n', '↵');
  const at = Math.max(0, line.toLowerCase().indexOf(word));
  const inPair = (i: number): number => ((line.charCodeAt(i) & 0xfc00) === 0xdc00 ? 1 : 0);
  const [first, last] = [Math.max(0, at - REACH), Math.min(line.length, at + word.length + REACH)];
  const [from, to] = [first + inPair(first), last + inPair(last)];
  return `${from > 0 ? '…' : ''}${line.slice(from, to)}${to < line.length ? '…' : ''}`;
}

/** White space around a token is not asked for, but where there is nothing else. */
export const sameToken = (a: string, b: string): boolean =>
  a === b || (a.trim() !== '' && a.trim() === b.trim());

const EVIDENCE = [
  join('features', 'cards.json'),
  join('features', MANIFEST_FILE),
  'eval.json',
  'run.json',
  'cfg.json',
];

/** Changes when one of these files does. */
async function versionOf(folder: string, files: readonly string[]): Promise<string> {
  const times = files.map((file) =>
    stat(join(folder, file)).then(
      ({ mtimeMs, size }) => `${mtimeMs}/${size}`,
      () => '-',
    ),
  );
  return (await Promise.all(times)).join(' ');
}

/** Of the SAE itself. */
export const saeVersion = (folder: string): Promise<string> => versionOf(folder, SAE_FILES);
/** Of the small files of a run but its labels. */
export const evidenceVersion = (folder: string): Promise<string> => versionOf(folder, EVIDENCE);
export const labelsVersion = (folder: string): Promise<string> => versionOf(folder, ['labels.jsonl']);
