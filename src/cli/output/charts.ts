/** Small pictures in one line of text. */

const levels = '▁▂▃▄▅▆▇█';

/**
 * A line of at most `columns` bars from the smallest to the largest value; means of equal runs where there are more values.
 * A constant series is drawn at the lowest level.
 */
export function sparkline(values: readonly number[], columns = 16): string {
  const finite = values.filter(Number.isFinite);
  if (finite.length === 0) return '';
  const count = Math.min(columns, finite.length);
  const means = Array.from({ length: count }, (_, i) => {
    const part = finite.slice(
      Math.floor((i * finite.length) / count),
      Math.floor(((i + 1) * finite.length) / count),
    );
    return part.reduce((sum, value) => sum + value, 0) / part.length;
  });
  const low = Math.min(...means);
  const span = Math.max(...means) - low;
  return means
    .map((mean) => levels[span === 0 ? 0 : Math.min(7, Math.floor(((mean - low) / span) * 8))])
    .join('');
}

/** A bar of `columns` cells, filled to `share` in [0,1]. */
export function progressBar(share: number, columns: number): string {
  const filled = Math.round(Math.max(0, Math.min(1, share)) * columns);
  return '━'.repeat(filled) + '─'.repeat(columns - filled);
}
