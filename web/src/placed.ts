/** Tokens of a text that was read, laid on the text as it is now. */

/** As the server gives it (src/shared/api.ts). */
type Read = {
  readonly tokens: readonly string[];
  readonly places: readonly (readonly [start: number, end: number])[];
};
type Stretch = { readonly text: string /** Token, or -1 where none is known. */; readonly t: number };

/** Whether a token is in the text; BOS and the like are not. */
export const stands = ({ places }: Pick<Read, 'places'>, t: number): boolean => places[t]![0] < places[t]![1];

/** While the answer for the text after the last key is awaited, tokens before and behind what was changed keep their places. */
export function placed(read: Read, text: string): Stretch[] {
  const own = read.tokens
    .map((token, t) => ({ text: stands(read, t) ? token : '', t }))
    .filter((token) => token.text !== '');
  let [from, at] = [0, 0];
  while (from < own.length && text.startsWith(own[from]!.text, at)) at += own[from++]!.text.length;
  let [to, end] = [own.length, text.length];
  for (; to > from; to--) {
    const start = end - own[to - 1]!.text.length;
    if (start < at || !text.startsWith(own[to - 1]!.text, start)) break;
    end = start;
  }
  const changed = at < end ? [{ text: text.slice(at, end), t: -1 }] : [];
  return [...own.slice(0, from), ...changed, ...own.slice(to)];
}
