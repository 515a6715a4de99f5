/** Texts in columns next to one another, or under one another where the terminal is narrow. */
import { printable } from './samples.ts';
import type { Style } from './style.ts';
import { padEnd } from './width.ts';
import { wrap } from './wrap.ts';

export type Column = { readonly label: string; readonly text: string; readonly hue?: number };

/** Narrower columns cannot be read. */
const LEAST = 28;

export function sideBySide(columns: readonly Column[], style: Style): string[] {
  const wide = Math.min(style.columns - 1, 160);
  const width = Math.floor((wide - 2 * columns.length) / columns.length);
  const tinted = ({ hue }: Column, line: string): string =>
    hue === undefined ? line : style.tint(hue, 0.5, line);
  if (width < LEAST)
    return columns.flatMap((column) => [
      style.format('dim', column.label),
      ...wrap(printable(column.text), wide - 2).map((line) => `  ${tinted(column, line)}`),
    ]);
  const lines = columns.map(({ text }) => wrap(printable(text), width));
  const rows = Array.from({ length: Math.max(...lines.map(({ length }) => length)) }, (_, i) =>
    columns.map((column, c) => tinted(column, padEnd(lines[c]![i] ?? '', width))).join('  '),
  );
  const head = columns.map(({ label }) => style.format('dim', padEnd(label, width))).join('  ');
  return [head, ...rows].map((line) => `  ${line.trimEnd()}`);
}
