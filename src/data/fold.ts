/**
 * Where a token stands in a text that its tokenizer changed.
 *
 *     fold(c) = NFKD(lower(c)) without marks          a token fits at a place where the folded characters are its own, folded
 *
 * Comes near to what normalizers do, whichever of it they do. One character may fold to several (½ to 1⁄2), which tokens take
 * one after the other: each gets the whole character, and `rest` is what is left for the next.
 */

export type Folded = {
  readonly start: number;
  readonly end: number;
  /** Of the last character, what the token did not take, folded. */
  readonly rest: string;
};

const folds = new Map<number, string>();
const KEPT = 50_000;

/** '' for marks, and for what normalizers drop: control and format characters. */
function fold(point: number): string {
  let found = folds.get(point);
  if (found === undefined) {
    found = String.fromCodePoint(point)
      .toLowerCase()
      .normalize('NFKD')
      .replace(/[\p{Mn}\p{C}\ufffd]/gu, '')
      .replace(/\s+/g, ' ');
    if (folds.size >= KEPT) folds.clear();
    folds.set(point, found);
  }
  return found;
}

const foldAll = (text: string): string =>
  Array.from(text, (character) => fold(character.codePointAt(0)!))
    .join('')
    .trim();

/** A mark, or a joiner, that belongs to the character before it. */
export const mark = /^[\p{M}\u200d]/u;

/**
 * The token at `at`, behind white space and what folds to nothing.
 *
 * @param before a match that ended at `at` and left a rest, which the token begins with
 * @returns undefined when it does not stand there, or has part of a character
 */
export function foldedMatch(text: string, at: number, piece: string, before?: Folded): Folded | undefined {
  return piece.includes('\ufffd') ? undefined : matchOf(text, at, foldAll(piece), before);
}

/** @param want the token, folded */
function matchOf(text: string, at: number, want: string, before?: Folded): Folded | undefined {
  if (want === '') return before;
  let got = before?.rest ?? '';
  let [start, end] = [before && got !== '' ? before.start : at, at];
  let place = start;
  while (got.length < want.length && end < text.length) {
    const point = text.codePointAt(end)!;
    const folded = fold(point);
    const more = got === '' ? folded.trimStart() : got + folded;
    if (want.startsWith(more) || more.startsWith(want)) {
      if (got === '' && more !== '') start = end;
      got = more;
    } else if (!mark.test(String.fromCodePoint(point))) return undefined; // Some drop marks with a width, too.
    place = end;
    end += point > 0xffff ? 2 : 1;
  }
  if (!got.startsWith(want)) return undefined;
  return { start: got.length > want.length ? place : start, end, rest: got.slice(want.length).trimStart() };
}

/** First place from `at` on, at most `most` characters further, where the token stands; -1 when there is none. */
export function foldedPlace(text: string, at: number, piece: string, most: number): number {
  if (piece.includes('\ufffd')) return -1;
  const want = foldAll(piece);
  for (let place = at; place < text.length && place - at <= most; place++) {
    const found = matchOf(text, place, want);
    if (found) return found.start;
  }
  return -1;
}
