import type { Style } from './style.ts';
import { displayWidth, padEnd, padStart } from './width.ts';

export type Column = { readonly title: string; readonly align?: 'left' | 'right' };

/** Aligned columns, two spaces apart, under dim titles. Cells may hold colour. */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  style: Style,
): string {
  const widths = columns.map(({ title }, i) =>
    Math.max(displayWidth(title), ...rows.map((row) => displayWidth(row[i] ?? ''))),
  );
  const line = (cells: readonly string[]): string =>
    columns
      .map(({ align }, i) => (align === 'right' ? padStart : padEnd)(cells[i] ?? '', widths[i] as number))
      .join('  ')
      .trimEnd();
  const titles = line(columns.map(({ title }) => title));
  return [...(titles === '' ? [] : [style.format('dim', titles)]), ...rows.map(line)].join('\n');
}

/** Two columns without titles: a name, dim, and its value. */
export const pairs = (rows: readonly (readonly [string, string])[], style: Style): string =>
  table(
    [{ title: '' }, { title: '' }],
    rows.map(([name, value]) => [style.format('dim', name), value]),
    style,
  );
