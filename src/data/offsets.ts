/**
 * Which characters of a text each token stands for, found from what the tokenizer shows and decodes.
 *
 * Tokens are laid along the text from left to right. A token whose own text stands at the current place takes it;
 * white space that the tokenizer swallowed goes to the token after it, and a space that it put before the text is empty. Tokens that
 * hold parts of one character (byte-level and byte-fallback vocabularies split Cyrillic, emoji, …) are joined until
 * they decode to text that stands there, and each of them gets the whole stretch. Where the tokenizer changed the text
 * (lower case, Unicode normalisation) characters are compared as they are folded (fold.ts); where even that does not fit (unknown
 * words) the tokens get the stretch up to the next place that does.
 */
import type { Tokenizer } from '../models/types.ts';
import { type Folded, foldedMatch, foldedPlace, mark } from './fold.ts';

/** A character has at most 4 bytes, a byte-level token may end inside one: groups beyond this are no split character. */
const MAX_GROUP = 12;
/** How far ahead a changed stretch of text is searched for its end, in characters. */
const MAX_SKIP = 64;

const whitespace = /\s/;

/** Place in `text` where `piece` stands, at `at` or after white space there; -1 when it does not. */
function placeOf(text: string, piece: string, at: number): number {
  if (text.startsWith(piece, at)) return at;
  let place = at;
  while (place < text.length && whitespace.test(text[place]!)) place++;
  return place > at && text.startsWith(piece, place) ? place : -1;
}

/**
 * Character offsets of tokens: token i stands for text [starts[i], ends[i]) in UTF-16 units. Starts never decrease.
 *
 * @param ids tokens of `text` without BOS, as `tokenizer.encode(text)` returns them
 * @param pieces text of single ids, kept between calls
 */
export function tokenOffsets(
  text: string,
  ids: readonly number[],
  tokenizer: Pick<Tokenizer, 'decode' | 'tokenStrings'>,
  pieces: Map<number, string> = new Map(),
): { starts: Int32Array; ends: Int32Array } {
  const starts = new Int32Array(ids.length);
  const ends = new Int32Array(ids.length);
  // What is shown, not what is decoded: decoding drops special tokens and the space of a lone SentencePiece "▁".
  const pieceOf = (id: number): string => {
    let piece = pieces.get(id);
    if (piece === undefined) {
      piece = tokenizer.tokenStrings([id])[0] ?? '';
      pieces.set(id, piece);
    }
    return piece;
  };
  const give = (from: number, to: number, start: number, end: number): void => {
    starts.fill(start, from, to);
    ends.fill(end, from, to);
  };

  let at = 0;
  let i = 0;
  // Marks that the tokenizer dropped belong to the token before them.
  const dropMarks = (): void => {
    while (i > 0 && ends[i - 1] === at && mark.test(text.slice(at, at + 1))) ends[i - 1] = ++at;
  };
  let last: Folded | undefined;
  while (i < ids.length) {
    const piece = pieceOf(ids[i]!);
    // The rest of a character that was taken apart comes before what stands behind it.
    if (last && last.rest !== '') {
      last = foldedMatch(text, at, piece, last);
      if (last) {
        give(i, i + 1, last.start, last.end);
        at = last.end;
        i++;
        continue;
      }
    }
    let place = placeOf(text, piece, at);
    if (place >= 0) {
      const from = i++;
      // A replacement character in the text may itself be split: take all tokens that leave the decoding as it is.
      if (piece.includes('\ufffd'))
        while (i < ids.length && tokenizer.decode(ids.slice(from, i + 1)) === piece) i++;
      // Swallowed white space belongs to this token: [at, ...), not [place, ...).
      give(from, i, at, place + piece.length);
      at = place + piece.length;
      continue;
    }
    const own = piece.slice(1);
    const trimmed = piece.startsWith(' ') && text.startsWith(own, at) ? own : piece.trimStart();
    if (trimmed !== piece && text.startsWith(trimmed, at)) {
      // A space that the tokenizer put before the text.
      give(i, i + 1, at, at + trimmed.length);
      at += trimmed.length;
      i++;
      continue;
    }
    last = foldedMatch(text, at, piece);
    if (last) {
      dropMarks();
      give(i, i + 1, at, last.end);
      at = last.end;
      i++;
      continue;
    }
    let joined = 0;
    for (let n = 2; n <= MAX_GROUP && i + n <= ids.length; n++) {
      const group = tokenizer.decode(ids.slice(i, i + n));
      place = placeOf(text, group, at);
      const end = place >= 0 ? place + group.length : (foldedMatch(text, at, group)?.end ?? at);
      if (end > at && group !== '') {
        give(i, i + n, at, end);
        at = end;
        joined = n;
        break;
      }
    }
    if (joined > 0) {
      i += joined;
      continue;
    }
    // The text was changed here: find the nearest later token that stands a little further on.
    let resumed = false;
    for (let n = 1; n <= MAX_GROUP && i + n < ids.length && !resumed; n++) {
      const found = foldedPlace(text, at, pieceOf(ids[i + n]!), MAX_SKIP);
      if (found >= 0) {
        give(i, i + n, at, found);
        at = found;
        i += n;
        resumed = true;
      }
    }
    if (!resumed) {
      // An unknown word at the end is as long as the text.
      const rest = i === ids.length - 1 ? text.slice(at).trimEnd().length : piece.length;
      const end = Math.min(at + rest, text.length);
      give(i, i + 1, at, end);
      at = end;
      i++;
    }
  }
  dropMarks();
  return { starts, ends };
}
