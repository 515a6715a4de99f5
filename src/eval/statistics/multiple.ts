/**
 * Many tests at once: p-values that may be held against a level as if there were one.
 *
 *     Benjamini & Hochberg (1995) q_(i) = min_{j >= i} min(1, n p_(j) / j)             bounds the share of false ones among the findings
 *
 * p_(1) <= … <= p_(n).
 */

function order(p: readonly number[]): number[] {
  for (const value of p)
    if (!(value >= 0 && value <= 1)) throw new RangeError(`A p-value is ${value}; expected 0 to 1.`);
  return p.map((_, i) => i).sort((a, b) => p[a]! - p[b]!);
}

/** Benjamini and Hochberg's adjusted p-values (false discovery rate), in the order given. */
export function benjaminiHochberg(p: readonly number[]): number[] {
  const adjusted = new Array<number>(p.length);
  let smallest = 1;
  for (const [i, at] of [...order(p).entries()].reverse()) {
    smallest = Math.min(smallest, (p.length * p[at]!) / (i + 1));
    adjusted[at] = smallest;
  }
  return adjusted;
}
