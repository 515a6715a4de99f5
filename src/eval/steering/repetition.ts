/**
 * How much a text repeats itself: the share of n-grams that stood in it before.
 *
 *     repetition = 1 − distinct n-grams / n-grams          0 for a text that is shorter than n
 */

/** @param n tokens of a piece, 4 by custom (Welleck et al. 2020, seq-rep-4) */
export function repetition(ids: readonly number[], n = 4): number {
  const count = ids.length - n + 1;
  if (count <= 0) return 0;
  const distinct = new Set(Array.from({ length: count }, (_, i) => ids.slice(i, i + n).join(' ')));
  return 1 - distinct.size / count;
}
