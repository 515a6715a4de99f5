import { displayWidth } from './width.ts';

/** Breaks plain text into lines of at most `columns`, at spaces where there are any. */
export function wrap(text: string, columns: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/(?<=\s)/)) {
    if (displayWidth(line) + displayWidth(word.trimEnd()) > columns && line !== '') {
      lines.push(line.trimEnd());
      line = '';
    }
    // A line does not begin with spaces that the last one ended with.
    if (lines.length > 0 && line === '' && word.trim() === '') continue;
    line += word;
    // A word longer than the line (DNA, base64) is cut.
    while (displayWidth(line.trimEnd()) > columns) {
      const characters = [...line];
      let width = 0;
      const end = characters.findIndex((character) => (width += displayWidth(character)) > columns);
      lines.push(characters.slice(0, end).join(''));
      line = characters.slice(end).join('');
    }
  }
  if (line !== '') lines.push(line.trimEnd());
  return lines;
}
