/** Pieces of Markdown as GitHub and the hub render it. */

/** As code that shows exactly this text on one line; what would move a reader's cursor becomes a mark. */
export function code(text: string): string {
  const line = text
    .replaceAll('\n', '↵')
    .replaceAll('\t', '→')
    .replace(/[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/gu, '·');
  const longest = Math.max(0, ...[...line.matchAll(/`+/g)].map(([ticks]) => ticks.length));
  const fence = '`'.repeat(longest + 1);
  // One space at either end is taken away again when there is one at both.
  const pad = longest > 0 || /^ .*\S.* $/.test(line) ? ' ' : '';
  return `${fence}${pad}${line}${pad}${fence}`;
}

export type Align = 'left' | 'right';

/** A table. A bar inside a cell, also inside code, would end the cell. */
export function markdownTable(
  titles: readonly string[],
  rows: readonly (readonly string[])[],
  align: readonly Align[] = [],
): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  const rule = titles.map((_, i) => (align[i] === 'right' ? '---:' : '---'));
  return [line(titles), line(rule), ...rows.map(line)].join('\n');
}

/** Names and values; what is undefined is left out. */
export const pairs = (rows: readonly (readonly [string, string | undefined])[]): string =>
  markdownTable(
    ['', ''],
    rows.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );

/** @param kind `datasets/`, or nothing for a model */
export const hubLink = (name: string, kind = ''): string =>
  `[${name}](https://huggingface.co/${kind}${name})`;

export const fenced = (language: string, text: string): string => `\`\`\`${language}\n${text}\n\`\`\``;

/** 12,345 */
export const count = (value: number): string => Math.round(value).toLocaleString('en-US');
