/** Numbers and names as people read them. */
import type { FeatureName, IndexedOn, RunSummary } from './api.ts';

export const grouped = (n: number): string => n.toLocaleString('en');

/** "1 in 410"; dense ones as a percentage. */
export function rarity(density: number | undefined): string {
  if (density === undefined) return '';
  if (density <= 0) return 'never fired';
  return density > 0.2
    ? `${(100 * density).toFixed(0)} % of tokens`
    : `1 in ${grouped(Math.round(1 / density))}`;
}

/** The text of an index, and how it was chosen where that was not at random. */
export const indexText = ({ tokens, documents, balance }: IndexedOn): string =>
  `${grouped(tokens)} tokens of ${grouped(documents)} documents${balance ? `, an equal share of each ${balance.join(' and each ')}` : ''}`;

export const figure = (value: number | undefined | null, digits = 3): string =>
  value === undefined || value === null ? '–' : value.toFixed(digits);

export const short = (value: number): string =>
  Math.abs(value) >= 100 ? value.toFixed(0) : Math.abs(value) >= 10 ? value.toFixed(1) : value.toFixed(2);

/** What to call a latent: a person's label, else the guess. */
export const titleOf = ({ label, guess, latent }: Pick<FeatureName, 'label' | 'guess' | 'latent'>): string =>
  label ?? guess ?? `latent ${latent}`;

/** White space made visible where a token stands by itself. */
export const visible = (token: string): string =>
  token
    .replaceAll('\n', '↵')
    .replaceAll('\t', '⇥')
    .replace(/^ +| +$/g, (spaces) => '·'.repeat(spaces.length)) || '∅';

/** A word of a command line, quoted where a shell would take it apart. */
export const shellWord = (text: string): string =>
  /^[\w./~@%+,:=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;

/** Part of a path or of a parameter; what is no encoding stands for itself. */
export function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The run that a newcomer meets: one whose latents are all indexed before one with some cards, then the largest. */
export const mostToShow = (runs: readonly RunSummary[]): RunSummary | undefined =>
  runs.toSorted(
    (a, b) =>
      Number(b.indexedOn !== undefined) - Number(a.indexedOn !== undefined) ||
      (b.latents ?? 0) - (a.latents ?? 0),
  )[0];

export const runPath = (run: string): string => `/runs/${encodeURIComponent(run)}`;

export const featurePath = (
  { run, latent }: { run: string; latent: number },
  params: Record<string, string> = {},
): string => {
  const query = new URLSearchParams(params).toString();
  return `/feature/${encodeURIComponent(run)}/${latent}${query ? `?${query}` : ''}`;
};
