import type { DocumentSet, PackedRows } from '../data/types.ts';

/** Display strings of ids, one per token. */
export type TokenStrings = (ids: readonly number[]) => string[];

/**
 * Text of the tokens at positions [from, to) of a packed row, one string each.
 *
 * Where the rows carry offsets the document's own text is used: a character split over several tokens shows whole at one of them (at
 * `peak` if that is among them, else at the first) and as '' at the others. Otherwise the tokenizer's strings are.
 */
export async function tokenTexts(
  { ids, documents, starts, ends }: PackedRows,
  [from, to]: readonly [number, number],
  peak: number,
  tokenStrings: TokenStrings,
  set?: DocumentSet,
): Promise<string[]> {
  const fallback = tokenStrings([...ids.subarray(from, to)]);
  const texts: string[] = [];
  const known = new Map<number, string>();
  for (let i = from; i < to; i++) {
    const owner = documents[i]!;
    if (set === undefined || owner < 0 || starts[i]! < 0 || starts[i] === ends[i]) {
      texts.push(fallback[i - from]!);
      continue;
    }
    // Tokens that share a character carry the same stretch; the later ones begin where the earlier ended.
    const continued = i > from && documents[i - 1] === owner && starts[i - 1]! >= 0;
    const start = continued ? Math.max(starts[i]!, ends[i - 1]!) : starts[i]!;
    const text = known.get(owner) ?? (await set.get(owner)).text;
    known.set(owner, text);
    texts.push(text.slice(start, Math.max(start, ends[i]!)));
  }
  // Never an empty peak: its character moves over from the token that shows it.
  for (let i = peak - 1; i >= from && texts[peak - from] === '' && ends[i]! > starts[peak]!; i--) {
    texts[peak - from] = texts[i - from]!;
    texts[i - from] = '';
  }
  return texts;
}
