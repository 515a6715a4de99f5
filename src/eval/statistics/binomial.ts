/**
 * Wilson's score interval for a share (Wilson 1927; Brown, Cai & DasGupta 2001 recommend it for small n).
 *
 *     p = s / n,  c = (p + z²/2n) / (1 + z²/n),  h = z √(p(1−p)/n + z²/4n²) / (1 + z²/n)      interval [c − h, c + h]
 */
import type { Interval } from '../../shared/eval.ts';

/** The standard normal quantile for the two-sided levels that are reported. */
const normalQuantiles: Readonly<Record<string, number>> = {
  '0.9': 1.6448536269514722,
  '0.95': 1.959963984540054,
  '0.99': 2.5758293035489004,
};

/**
 * The share of successes with its Wilson interval; the unit of `n` is latents, the only thing counted so in this project.
 *
 * @param successes s, from 0 to n
 * @param n trials; 0 gives an interval without values
 * @param level 0.9, 0.95 or 0.99
 * @throws RangeError on any other level, or when s is not from 0 to n
 */
export function wilson(successes: number, n: number, level = 0.95): Interval {
  const z = normalQuantiles[String(level)];
  if (z === undefined)
    throw new RangeError(`Wilson interval: level ${level} is not known; use 0.9, 0.95 or 0.99.`);
  if (!(successes >= 0 && successes <= n)) {
    throw new RangeError(`Wilson interval: ${successes} successes of ${n} trials; expected 0 to ${n}.`);
  }
  if (n === 0) return { value: null, low: null, high: null, n, unit: 'latents' };
  const p = successes / n;
  const shrink = 1 + (z * z) / n;
  const centre = (p + (z * z) / (2 * n)) / shrink;
  const half = (z / shrink) * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n));
  // At s = 0 and s = n one end is exactly p; rounding must not move it past.
  return {
    value: p,
    low: Math.min(p, Math.max(0, centre - half)),
    high: Math.max(p, Math.min(1, centre + half)),
    n,
    unit: 'latents',
  };
}
