/**
 * Whether a text became what a checker looks for: it takes one piece of the text that is at least half of it. A piece begins at the start, at a third,
 * at the half or at a line, and ends at the end of a line or of the text. A model that is pushed begins in the middle of something and may end
 * in something else; the same rule holds for every candidate, the unsteered one too.
 */
export function becomes(check: (text: string) => boolean, text: string): boolean {
  const half = Math.floor(text.length / 2);
  const breaks: number[] = [];
  for (let i = text.indexOf('\n'); i >= 0; i = text.indexOf('\n', i + 1)) breaks.push(i);
  const starts = new Set([0, Math.floor(text.length / 3), half, ...breaks.map((i) => i + 1)]);
  const ends = [text.length, ...breaks];
  for (const start of starts)
    for (const end of ends) if (end - start >= half && check(text.slice(start, end).trim())) return true;
  return false;
}
