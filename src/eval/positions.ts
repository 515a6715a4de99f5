/** Which positions of a packed batch count. */
import type { PackedRows } from '../data/types.ts';

export type PositionRules = {
  /** Tokens left out, normally the tokenizer's special ids: they carry huge norms and no text. */
  readonly specialIds?: ReadonlySet<number>;
  /** First positions of every sequence left out. */
  readonly excludeFirst?: number;
};

/** Flat positions [N] of the rows that are measured and replaced, ascending, and how many real tokens were left out. */
export function measuredPositions(
  { ids, mask, keep, R, T }: PackedRows,
  { specialIds, excludeFirst = 0 }: PositionRules,
): { positions: Int32Array; excluded: number } {
  const positions = new Int32Array(R * T);
  let N = 0;
  let excluded = 0;
  for (let i = 0; i < R * T; i++) {
    if (mask[i] !== 1) continue;
    if (keep?.[i] === 0 || i % T < excludeFirst || specialIds?.has(ids[i]!)) excluded++;
    else positions[N++] = i;
  }
  return { positions: positions.slice(0, N), excluded };
}

/**
 * The predictions that are scored: made at a measured (hence replaced) position, of a next token that is real and in the same document.
 * Predictions across a document boundary are nobody's, and those made at unreplaced positions would only dilute the difference.
 */
export function scoredPositions({ mask, T, documents }: PackedRows, positions: Int32Array): Int32Array {
  return positions.filter((i) => i % T < T - 1 && mask[i + 1] === 1 && documents[i] === documents[i + 1]);
}
