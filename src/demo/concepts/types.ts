/** What concepts see of a document, and what they return. */
import type { Span } from '../labelled-text.ts';

/** A document of the corpus: `demo/corpus/README.md` describes the fields. */
export interface LabelledDocument {
  id: string;
  register: string;
  text: string;
  meta: Readonly<Record<string, string | number>>;
  spans: readonly Span[];
}

/** Start and end in UTF-16 units, half-open. */
export type Range = readonly [start: number, end: number];

export interface Concept {
  name: string;
  /** One sentence for people. */
  about: string;
  kind: 'register' | 'language' | 'structure' | 'meaning';
  /** Where it holds: sorted ranges that do not overlap. */
  truth(document: LabelledDocument): Range[];
}

/** Sorts ranges and joins those that overlap or touch. */
export function joinRanges(ranges: readonly Range[]): Range[] {
  const joined: [number, number][] = [];
  for (const [start, end] of [...ranges].sort((a, b) => a[0] - b[0])) {
    const last = joined.at(-1);
    if (last !== undefined && start <= last[1]) last[1] = Math.max(last[1], end);
    else if (end > start) joined.push([start, end]);
  }
  return joined;
}

/** The whole text of a document, if a condition holds. */
export function whole(document: LabelledDocument, holds: boolean): Range[] {
  return holds ? [[0, document.text.length]] : [];
}
