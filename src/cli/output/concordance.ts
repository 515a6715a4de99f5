/**
 * Passages one under another with the peak token in one column: left context right-aligned, right context after it.
 *
 *          …convened on the 4th of March, and by…
 *       …letter is dated 12 May 1851 at Lond…
 *
 * Tokens are tinted by activation / the feature's maximum over the corpus. Without colour the peak stands in guillemets.
 */
import type { Style } from './style.ts';
import { displayWidth, padStart } from './width.ts';

export type Passage = {
  readonly tokens: readonly string[];
  /** Activation of the feature at each token, >= 0. */
  readonly activations: ArrayLike<number>;
  /** Index of the token that is aligned. */
  readonly peak: number;
};

export type ConcordanceOptions = {
  readonly style: Style;
  /** Columns for the whole row. */
  readonly columns: number;
  /** The feature's largest activation, which is full strength. */
  readonly maximum: number;
  readonly hue: number;
};

type Cell = { readonly text: string; readonly share: number };

/** Controls, line separators and direction overrides: they move the cursor or reorder the line. */
const unprintable = /^[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]$/u;

/** One display character a cell: newline and tab become marks, what a terminal would obey a dot. */
function cellsOf(token: string, share: number): Cell[] {
  const mark = (character: string): string => {
    if (character === '\n') return '↵';
    if (character === '\t') return '→';
    return unprintable.test(character) ? '·' : character;
  };
  return [...token].map((character) => ({ text: mark(character), share }));
}

/** Cells from the start that fit into `columns`; an ellipsis takes the last column when some are left out. */
function fit(cells: readonly Cell[], columns: number): { cells: Cell[]; clipped: boolean } {
  let width = 0;
  let end = 0;
  while (end < cells.length && width + displayWidth((cells[end] as Cell).text) <= columns) {
    width += displayWidth((cells[end] as Cell).text);
    end++;
  }
  if (end === cells.length) return { cells: [...cells], clipped: false };
  while (end > 0 && width > columns - 1) width -= displayWidth((cells[--end] as Cell).text);
  return { cells: cells.slice(0, end), clipped: true };
}

function paint(cells: readonly Cell[], { style, hue }: ConcordanceOptions): string {
  let text = '';
  for (let i = 0; i < cells.length; ) {
    const { share } = cells[i] as Cell;
    let end = i;
    let run = '';
    while (end < cells.length && (cells[end] as Cell).share === share) run += (cells[end++] as Cell).text;
    text += style.tint(hue, share, run);
    i = end;
  }
  return text;
}

/** One row; the peak starts in the same column for every passage of the same width. */
export function concordanceRow(passage: Passage, options: ConcordanceOptions): string {
  const { style, columns, maximum, hue } = options;
  const share = (i: number): number => Math.max(0, Number(passage.activations[i] ?? 0) / maximum) ** 0.7;
  const cells = (from: number, to: number): Cell[] =>
    passage.tokens.slice(from, to).flatMap((token, i) => cellsOf(token, share(from + i)));

  // A leading space belongs to the left context, so that words, not spaces, stand one under another.
  const peakToken = passage.tokens[passage.peak] ?? '';
  const lead = peakToken.length > 1 && peakToken.startsWith(' ');
  const marks = style.colour ? ['', ''] : ['«', '»'];
  const left = [...cells(0, passage.peak), ...(lead ? [{ text: ' ', share: 0 }] : [])];
  const peak = cellsOf(lead ? peakToken.slice(1) : peakToken, 1);
  const right = cells(passage.peak + 1, passage.tokens.length);

  const leftColumns = Math.floor(columns * 0.45);
  const fittedLeft = fit(left.toReversed(), leftColumns);
  const leftText = `${fittedLeft.clipped ? '…' : ''}${paint(fittedLeft.cells.toReversed(), options)}`;
  const fittedPeak = fit(peak, Math.max(4, Math.floor(columns * 0.3)));
  const peakPlain = fittedPeak.cells.map((cell) => cell.text).join('') + (fittedPeak.clipped ? '…' : '');
  const peakText = `${marks[0]}${style.tint(hue, 1, style.format('underline', peakPlain))}${marks[1]}`;
  const room = columns - leftColumns - displayWidth(peakText);
  const fittedRight = fit(right, room);
  return `${padStart(leftText, leftColumns)}${peakText}${paint(fittedRight.cells, options)}${fittedRight.clipped ? '…' : ''}`;
}
