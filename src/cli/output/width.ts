/** Columns that text takes on a terminal: 2 for East Asian wide characters and emoji, 0 for combining marks and controls. */

const zeroWidth = /^[\p{Mn}\p{Me}\p{Cf}\p{Cc}]/u;
const doubleWidth =
  /^[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;
// biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character is what starts a colour sequence.
const colourSequence = /(\x1b\[[0-9;]*[A-Za-z])/;

function characterWidth(character: string): number {
  const code = character.codePointAt(0) as number;
  if (code >= 0x20 && code < 0x7f) return 1;
  if (doubleWidth.test(character)) return 2;
  return zeroWidth.test(character) ? 0 : 1;
}

/** Columns of a text; colour sequences take none. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const [i, part] of text.split(colourSequence).entries()) {
    // Every second part is a colour sequence.
    if (i % 2 === 0) for (const character of part) width += characterWidth(character);
  }
  return width;
}

/** Longest beginning of a text that fits into `columns`; ends with an ellipsis when something was left out. Keeps colour. */
export function clip(text: string, columns: number): string {
  if (displayWidth(text) <= columns) return text;
  let width = 1;
  let clipped = '';
  let full = false;
  for (const [i, part] of text.split(colourSequence).entries()) {
    if (i % 2 === 1) {
      // Sequences after the cut are kept: they end the colour.
      clipped += part;
      continue;
    }
    for (const character of full ? '' : part) {
      width += characterWidth(character);
      if (width > columns) {
        full = true;
        clipped += '…';
        break;
      }
      clipped += character;
    }
  }
  return clipped;
}

export const padEnd = (text: string, columns: number): string =>
  text + ' '.repeat(Math.max(0, columns - displayWidth(text)));

export const padStart = (text: string, columns: number): string =>
  ' '.repeat(Math.max(0, columns - displayWidth(text))) + text;
