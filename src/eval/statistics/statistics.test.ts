import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createRng } from '../../shared/rng.ts';
import { wilson } from './binomial.ts';
import { bootstrap } from './bootstrap.ts';
import { benjaminiHochberg } from './multiple.ts';
import { quantiles } from './quantiles.ts';

const golden = JSON.parse(
  readFileSync(new URL('../../../test/golden/eval/metrics.json', import.meta.url), 'utf8'),
);

const mean = (values: Float64Array) => values.reduce((a, b) => a + b, 0) / values.length;

describe('summaries', () => {
  it('quantiles are those of numpy', () => {
    const { input, at, expected } = golden.quantiles;
    for (const [i, q] of quantiles(input, at).entries()) expect(q).toBeCloseTo(expected[i], 6);
    expect(quantiles([], [0.5])).toEqual([Number.NaN]);
    expect(() => quantiles([1], [1.5])).toThrow('0 to 1');
  });

  it('Wilson intervals are those of scipy', () => {
    for (const [s, n, level, low, high] of golden.wilson) {
      const interval = wilson(s, n, level);
      expect(interval.low).toBeCloseTo(low, 9);
      expect(interval.high).toBeCloseTo(high, 9);
      expect(interval.value).toBe(s / n);
    }
    expect(wilson(0, 0).value).toBeNull();
    expect(() => wilson(3, 2)).toThrow('3 successes of 2');
  });
});

describe('bootstrap', () => {
  it('covers the truth at its level when tokens of a document are dependent, and resampling tokens would not', () => {
    // Ratio Σ y / Σ n with true value 1: document effect (variance 1) shared by 1 to 30 tokens, token noise (variance 0.25).
    const rng = createRng('coverage');
    const simulations = 300;
    let documents = 0;
    let tokens = 0;
    for (let s = 0; s < simulations; s++) {
      const perDocument: number[] = [];
      const perToken: number[] = [];
      for (let u = 0; u < 80; u++) {
        const n = 1 + rng.int(30);
        const effect = 1 + rng.normal();
        let y = 0;
        for (let i = 0; i < n; i++) {
          const value = effect + 0.5 * rng.normal();
          y += value;
          perToken.push(1, value);
        }
        perDocument.push(n, y);
      }
      const ratio = (t: Float64Array) => [t[1]! / t[0]!];
      const options = { seed: s, resamples: 200, unit: 'documents' } as const;
      const [byDocument] = bootstrap({ U: 80, C: 2, sums: perDocument }, ratio, options);
      if (byDocument!.low! <= 1 && byDocument!.high! >= 1) documents++;
      if (s >= 60) continue;
      const [byToken] = bootstrap({ U: perToken.length / 2, C: 2, sums: perToken }, ratio, {
        ...options,
        resamples: 60,
      });
      if (byToken!.low! <= 1 && byToken!.high! >= 1) tokens++;
    }
    // 95 % of 300: standard deviation 1.3 %; percentile intervals on 80 units are short by one or two per cent.
    expect(documents / simulations).toBeGreaterThan(0.9);
    expect(documents / simulations).toBeLessThan(0.98);
    expect(tokens / 60).toBeLessThan(0.6);
  });

  it('has the width of the normal approximation for a mean', () => {
    const rng = createRng('width');
    const U = 400;
    const values = Float64Array.from({ length: U }, () => rng.normal());
    const sums = Array.from(values).flatMap((v) => [1, v]);
    const [interval] = bootstrap({ U, C: 2, sums }, (t) => [t[1]! / t[0]!], {
      seed: 3,
      resamples: 4000,
      unit: 'documents',
    });
    const m = mean(values);
    const sd = Math.sqrt(mean(values.map((v) => (v - m) ** 2)));
    expect(interval!.value).toBeCloseTo(m, 12);
    expect(interval!.low).toBeCloseTo(m - (1.96 * sd) / Math.sqrt(U), 2);
    expect(interval!.high).toBeCloseTo(m + (1.96 * sd) / Math.sqrt(U), 2);
  });

  it('gives null for what is not defined and leaves undefined draws out', () => {
    const [ratio, undefinedRatio] = bootstrap(
      { U: 3, C: 2, sums: [1, 0, 1, 1, 1, 0] },
      (t) => [t[0]! / t[1]!, t[0]! / 0 - t[0]! / 0],
      {
        seed: 0,
        unit: 'documents',
      },
    );
    expect(ratio!.value).toBe(3);
    expect(Number.isFinite(ratio!.high!)).toBe(true);
    expect(undefinedRatio).toMatchObject({ value: null, low: null, high: null, n: 3 });
    expect(
      bootstrap({ U: 0, C: 1, sums: [] }, (t) => [t[0]! / 0], { seed: 0, unit: 'documents' })[0]!.value,
    ).toBeNull();
  });
});

it("p-values are adjusted as in Benjamini and Hochberg's example of 1995, in any order", () => {
  const p = [
    0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.324, 0.4262, 0.5719, 0.6528,
    0.759, 1,
  ];
  const q = benjaminiHochberg(p.toReversed());
  // They reject the four smallest at 0.05.
  expect(q.toReversed().filter((value) => value <= 0.05)).toHaveLength(4);
  expect(q.at(-1)).toBeCloseTo(0.0015, 12);
  expect(q.at(-4)).toBeCloseTo((0.0095 * 15) / 4, 12);
});
