/**
 * How far a value stands out among controls that could have been it: a test without any assumption but exchangeability (Phipson & Smyth 2010).
 *
 *     p = (1 + #{i : c_i >= x}) / (m + 1)                                    m controls c, one value x
 *     smoothed  p = (#{c_i > x} + U (1 + #{c_i = x})) / (m + 1),  U uniform  exactly uniform when x and the controls are exchangeable
 *
 * The first never says too little: P(p <= α) <= α. With m controls it cannot fall below 1 / (m + 1).
 */

/** `greater`: a large value is remarkable; `less`: a small one; `two-sided`: either, twice the smaller of both, at most 1. */
export type Alternative = 'greater' | 'less' | 'two-sided';

/**
 * The p-value of `value` among its controls.
 *
 * @param uniform a number in [0, 1) makes the p-value the smoothed one
 * @throws RangeError without controls
 */
export function rankPValue(
  value: number,
  controls: ArrayLike<number>,
  alternative: Alternative = 'greater',
  uniform?: number,
): number {
  const m = controls.length;
  if (m === 0) throw new RangeError('A rank test needs at least one control.');
  let [above, equal] = [0, 0];
  for (let i = 0; i < m; i++) {
    if (controls[i]! > value) above++;
    else if (controls[i] === value) equal++;
  }
  const p = (beyond: number): number =>
    (uniform === undefined ? beyond + equal + 1 : beyond + uniform * (equal + 1)) / (m + 1);
  const [greater, less] = [p(above), p(m - above - equal)];
  if (alternative === 'greater') return greater;
  if (alternative === 'less') return less;
  // Smoothed, `less` must be the mirror image of `greater`, or both could be small at once.
  return Math.min(1, 2 * Math.min(greater, uniform === undefined ? less : 1 - greater));
}
