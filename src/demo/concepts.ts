/**
 * The concept suite: what a feature of a model of this corpus could stand for, with the truth for every character.
 *
 * A concept is a function from a labelled document to ranges of its text where the concept holds. `tokenTruth` turns ranges into one
 * bit per token; with that, a latent's firings can be scored (F1), beside the best residual dimension, a probe and a control.
 */
import { characterConcepts } from './concepts/characters.ts';
import { languageConcepts } from './concepts/languages.ts';
import { registerConcepts } from './concepts/registers.ts';
import { spanConcepts } from './concepts/spans.ts';
import type { Concept, Range } from './concepts/types.ts';

/** All concepts, in the order of the tables that define them; names are unique. */
export const concepts: readonly Concept[] = [
  ...registerConcepts,
  ...languageConcepts,
  ...spanConcepts,
  ...characterConcepts,
];

/** A concept by its name. */
export function conceptByName(name: string): Concept {
  const concept = concepts.find((candidate) => candidate.name === name);
  if (concept === undefined)
    throw new Error(`no concept '${name}'; there are ${concepts.length}, see the list in concepts.ts`);
  return concept;
}

/**
 * One bit per token: 1 where at least half of the token's characters, white space aside, lie in a range. A token that is only white
 * space counts with all its characters; an empty token (BOS, or a piece of a character whose text is given to another token) is 0.
 *
 * @param ranges sorted, not overlapping (as `Concept.truth` returns them)
 * @param offsets start and end of every token in the text, in UTF-16 units
 */
export function tokenTruth(text: string, ranges: readonly Range[], offsets: readonly Range[]): Uint8Array {
  const inside = new Uint8Array(text.length);
  for (const [start, end] of ranges) inside.fill(1, start, end);
  const isSpace = (i: number) => /\s/.test(text[i] as string);
  return Uint8Array.from(offsets, ([start, end]) => {
    const all = Array.from({ length: end - start }, (_, i) => start + i);
    const visible = all.filter((i) => !isSpace(i));
    const counted = visible.length > 0 ? visible : all;
    const hits = counted.filter((i) => inside[i] === 1).length;
    return counted.length > 0 && 2 * hits >= counted.length ? 1 : 0;
  });
}
