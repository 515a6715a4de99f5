/**
 * Words in the passages of feature tables.
 *
 *     text          the strings of all tokens, one after the other; where a document or a packed row begins, a mark that no word has
 *     word          found at characters [a, b)  ->  tokens i to j
 *     passage       around `at`, has the word when  at − BEFORE <= i  and  j <= at + AFTER,  in the same document and row
 *
 * Text and places are read once, when a word is first asked for: some 20 bytes a token, 4 an example.
 */
import type { FeatureTables, TokenRange } from '../../store/index.ts';
import type { TokenTexts } from './source.ts';

/** Tokens of a passage before and after its peak: a line of the app, and some to open. */
const [BEFORE, AFTER] = [24, 14];
/** Larger tables are searched by label and guess alone. */
const MOST_EXAMPLES = 16e6;
const MARK = '\u0000';

/** Passages of a latent (by its row in the tables) that have a word. */
export type WordInRows = {
  count(row: number): number;
  first(row: number): Promise<string | undefined>;
};

/** Tokens [from, to) of one packed row that a passage around place `at` may have. */
export function windowAt(at: number, T: number, positions: number): [number, number] {
  const row = at - (at % T);
  return [Math.max(row, at - BEFORE), Math.min(row + T, at + AFTER + 1, positions)];
}

export const cutTokens = ({ ids, documents }: TokenRange, from: number, to: number): TokenRange => ({
  ids: ids.subarray(from, to),
  documents: documents.subarray(from, to),
});

/**
 * Of a window the tokens around `peak` that are of the same document.
 *
 * @param bos where there is one; it stands for no characters and is left out
 */
export function ownTokens(
  { ids, documents }: TokenRange,
  peak: number,
  bos: number | undefined,
): [number, number] {
  let [from, to] = [peak, peak + 1];
  while (from > 0 && documents[from - 1] === documents[peak]) from--;
  while (to < ids.length && documents[to] === documents[peak]) to++;
  if (from < peak && ids[from] === bos) from++;
  return [from, to];
}

/** Small letters of all tokens in a row, and where each begins. */
export async function textOfTokens(
  { ids, documents }: TokenRange,
  T: number,
  texts: TokenTexts,
): Promise<{ text: string; starts: Int32Array }> {
  const unique = [...new Set(ids)];
  const names = await texts.names(unique);
  const nameOf = new Map(unique.map((id, i) => [id, names[i]!]));
  const strings = Array.from(ids, (id) => nameOf.get(id)!);
  const begins = (at: number): boolean => at % T === 0 || documents[at] !== documents[at - 1];
  // A character of several tokens stands at the first of them.
  for (let at = 0; at < ids.length; at++) {
    if (!strings[at]!.includes('\ufffd')) continue;
    let to = at + 1;
    while (to < ids.length && strings[to]!.includes('\ufffd') && !begins(to)) to++;
    const whole = await texts.passage([...ids.subarray(at, to)], -1);
    for (let i = at; i < to; i++) strings[i] = whole[i - at]!;
    at = to - 1;
  }
  const starts = new Int32Array(ids.length + 1);
  let length = 0;
  for (let at = 0; at < ids.length; at++) {
    strings[at] = (begins(at) ? MARK : '') + strings[at]!.toLowerCase();
    starts[at] = length;
    length += strings[at]!.length;
  }
  starts[ids.length] = length;
  return { text: strings.join(''), starts };
}

/** 1 at the places whose passage has the word. */
export function placesNear(
  word: string,
  { text, starts }: { text: string; starts: Int32Array },
  { documents }: Pick<TokenRange, 'documents'>,
  T: number,
): Uint8Array {
  const near = new Uint8Array(documents.length);
  let i = 0;
  for (let found = text.indexOf(word); found >= 0; found = text.indexOf(word, found + 1)) {
    while (starts[i + 1]! <= found) i++;
    let j = i;
    while (starts[j + 1]! < found + word.length) j++;
    const row = i - (i % T);
    const to = Math.min(row + T, i + BEFORE + 1);
    for (let at = Math.max(row, j - AFTER); at < to; at++) if (documents[at] === documents[i]) near[at] = 1;
  }
  return near;
}

/** @returns undefined where tables are too large for it */
export function passageSearch(
  tables: FeatureTables,
  read: () => Promise<TokenRange & { readonly bos: number | undefined }>,
) {
  const { contextLength: T } = tables.manifest;
  let opened: ReturnType<typeof open> | undefined;
  async function open(texts: TokenTexts) {
    const { examples_row: from, examples: count } = await tables.columns(['examples_row', 'examples']);
    const rows = count.reduce((sum, n) => sum + n, 0);
    if (rows > MOST_EXAMPLES) return undefined;
    const places = await tables.places();
    const range = await read();
    return { from, count, places, range, joined: await textOfTokens(range, T, texts) };
  }
  return async (word: string, texts: TokenTexts): Promise<WordInRows> => {
    opened ??= open(texts);
    opened.catch(() => {
      opened = undefined;
    });
    const parts = await opened;
    if (!parts) return { count: () => 0, first: async () => undefined };
    const { from, count, places, range, joined } = parts;
    const near = placesNear(word, joined, range, T);
    return {
      count(row) {
        let n = 0;
        for (let k = from[row]!; k < from[row]! + count[row]!; k++)
          if (places[k]! >= 0) n += near[places[k]!]!;
        return n;
      },
      async first(row) {
        for (let k = from[row]!; k < from[row]! + count[row]!; k++) {
          const at = places[k]!;
          if (at < 0 || near[at] !== 1) continue;
          const [start, end] = windowAt(at, T, range.ids.length);
          const part = cutTokens(range, start, end);
          const [i, j] = ownTokens(part, at - start, range.bos);
          return (await texts.passage([...part.ids.subarray(i, j)], at - start - i)).join('');
        }
        return undefined;
      },
    };
  };
}
