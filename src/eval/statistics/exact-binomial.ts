/**
 * The exact interval of a share (Clopper & Pearson 1934), which covers the truth at least at its level whatever n and p are.
 *
 *     P(S >= s; low) = α/2,   P(S <= s; high) = α/2,      S ~ Bin(n, p), α = 1 − level;   low = 0 at s = 0, high = 1 at s = n
 */
import type { Interval } from '../../shared/eval.ts';

/** P(S <= s) for S ~ Bin(n, p): the sum of its terms, each from the one before it in logarithms, so that large n does not underflow. */
export function binomialCdf(s: number, n: number, p: number): number {
  if (s >= n || p <= 0) return 1;
  if (s < 0 || p >= 1) return 0;
  const odds = Math.log(p) - Math.log1p(-p);
  let term = n * Math.log1p(-p);
  let sum = Math.exp(term);
  for (let k = 1; k <= s; k++) {
    term += Math.log((n - k + 1) / k) + odds;
    sum += Math.exp(term);
  }
  return Math.min(1, sum);
}

/** Where a falling function of [0, 1] crosses zero, to the last bit that bisection finds. */
function root(f: (p: number) => number): number {
  let [low, high] = [0, 1];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (f(middle) > 0) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/**
 * The share of successes with its exact interval.
 *
 * @param successes s, from 0 to n
 * @param n trials; 0 gives an interval without values
 * @param level two-sided, above 0 and below 1
 * @throws RangeError when s is not from 0 to n, or the level is not between 0 and 1
 */
export function clopperPearson(
  successes: number,
  n: number,
  level = 0.95,
  unit: Interval['unit'] = 'samples',
): Interval {
  if (!(level > 0 && level < 1)) throw new RangeError(`Exact interval: level ${level}; expected 0 to 1.`);
  if (!(successes >= 0 && successes <= n))
    throw new RangeError(`Exact interval: ${successes} successes of ${n} trials; expected 0 to ${n}.`);
  if (n === 0) return { value: null, low: null, high: null, n, unit };
  const tail = (1 - level) / 2;
  return {
    value: successes / n,
    low: successes === 0 ? 0 : root((p) => tail - 1 + binomialCdf(successes - 1, n, p)),
    high: successes === n ? 1 : root((p) => binomialCdf(successes, n, p) - tail),
    n,
    unit,
  };
}
