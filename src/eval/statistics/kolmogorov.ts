/**
 * Whether numbers are uniform on [0, 1] (Kolmogorov 1933).
 *
 *     D = max_i max(i/n − x_(i), x_(i) − (i−1)/n)
 *     p ≈ 2 Σ_{k>=1} (−1)^{k−1} exp(−2 k² λ²),   λ = (√n + 0.12 + 0.11/√n) D      (Stephens 1970; 0.02 from the exact one at n = 7, 0.01 from n = 40 on)
 */

/** @returns D and its p-value: the chance of so large a D if the numbers are uniform */
export function uniformityTest(values: readonly number[]): { D: number; p: number } {
  const n = values.length;
  const D = values
    .toSorted((a, b) => a - b)
    .reduce((worst, x, i) => Math.max(worst, (i + 1) / n - x, x - i / n), 0);
  const lambda = (Math.sqrt(n) + 0.12 + 0.11 / Math.sqrt(n)) * D;
  // The series does not converge near 0, where the chance is 1.
  if (lambda < 0.2) return { D, p: 1 };
  let p = 0;
  for (let k = 1; k <= 100; k++) p += 2 * (-1) ** (k - 1) * Math.exp(-2 * (k * lambda) ** 2);
  return { D, p: Math.min(1, Math.max(0, p)) };
}
