import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createRng } from '../../shared/rng.ts';
import { binomialCdf, clopperPearson } from '../statistics/exact-binomial.ts';
import { uniformityTest } from '../statistics/kolmogorov.ts';
import { benjaminiHochberg } from '../statistics/multiple.ts';
import { rankPValue } from '../statistics/rank-test.ts';
import { tokenClassifier } from './classifier.ts';
import { differenceOfMeans, noiseDirection, withNorm } from './directions.ts';
import { matchedLatents, matchedStrata, shuffled } from './matched.ts';
import { repetition } from './repetition.ts';

const golden = JSON.parse(
  readFileSync(new URL('../../../test/golden/eval/steering.json', import.meta.url), 'utf8'),
);

describe('statistics', () => {
  it('exact intervals and the binomial distribution are those of scipy', () => {
    for (const [s, n, level, low, high] of golden.clopperPearson) {
      const interval = clopperPearson(s, n, level);
      expect(interval.low).toBeCloseTo(low, 9);
      expect(interval.high).toBeCloseTo(high, 9);
    }
    for (const [s, n, p, expected] of golden.cdf) expect(binomialCdf(s, n, p)).toBeCloseTo(expected, 9);
    expect(clopperPearson(0, 0).value).toBeNull();
    expect(() => clopperPearson(3, 2)).toThrow('3 successes of 2');
    expect(() => clopperPearson(1, 2, 1)).toThrow('level 1');
  });

  it('corrected p-values are those of statsmodels', () => {
    for (const [i, p] of benjaminiHochberg(golden.p).entries())
      expect(p).toBeCloseTo(golden.benjaminiHochberg[i], 12);
    expect(() => benjaminiHochberg([0.5, 1.5])).toThrow('1.5');
  });

  it("D is scipy's, and its p-value near the exact one", () => {
    for (const [values, D, p] of golden.uniformity) {
      const found = uniformityTest(values);
      expect(found.D).toBeCloseTo(D, 12);
      expect(Math.abs(found.p - p)).toBeLessThan(values.length < 40 ? 0.02 : 0.01);
    }
  });

  it('rank p-values count by hand, ties against the value', () => {
    const controls = [1, 2, 3, 4, 4, 5, 6, 7, 8];
    expect(rankPValue(9, controls)).toBe(0.1);
    expect(rankPValue(4, controls)).toBe(0.7);
    expect(rankPValue(4, controls, 'less')).toBe(0.6);
    expect(rankPValue(0, controls, 'less')).toBe(0.1);
    expect(rankPValue(9, controls, 'two-sided')).toBe(0.2);
    expect(rankPValue(4, controls, 'two-sided')).toBe(1);
    expect(rankPValue(4, controls, 'greater', 0.5)).toBeCloseTo((4 + 0.5 * 3) / 10, 12);
    expect(() => rankPValue(1, [])).toThrow('at least one control');
  });

  it('is uniform when nothing is there, whatever the distribution, ties included', () => {
    for (const alternative of ['greater', 'less', 'two-sided'] as const) {
      const rng = createRng(`null/${alternative}`);
      // Rounded lognormals: skewed, and a third of them tied with another.
      const draw = () => Math.round(3 * Math.exp(rng.normal()));
      const p = Array.from({ length: 2000 }, () =>
        rankPValue(draw(), Array.from({ length: 19 }, draw), alternative, rng.uniform()),
      );
      expect(uniformityTest(p).p).toBeGreaterThan(0.01);
      const found = clopperPearson(p.filter((x) => x <= 0.05).length, p.length, 0.99);
      expect(found.low!).toBeLessThan(0.05);
      expect(found.high!).toBeGreaterThan(0.05);
    }
  });
});

describe('controls', () => {
  it('strata hold every latent that fires once, and like ones together', () => {
    const rng = createRng('strata');
    const density = Float64Array.from({ length: 1000 }, (_, f) => (f % 10 === 0 ? 0 : 10 ** -rng.int(5)));
    const norms = Float64Array.from({ length: 1000 }, () => 0.5 + rng.uniform());
    const strata = matchedStrata(density, norms, 25);
    expect(strata.flatMap((s) => [...s]).toSorted((a, b) => a - b)).toEqual(
      Array.from(density.keys()).filter((f) => f % 10 !== 0),
    );
    const spread = (of: Float64Array, s: Int32Array) =>
      Math.max(...s.map((f) => Math.log(of[f]!) * 1e6)) - Math.min(...s.map((f) => Math.log(of[f]!) * 1e6));
    const mean = (of: Float64Array) =>
      strata.reduce((sum, s) => sum + spread(of, s), 0) / strata.length / 1e6;
    for (const s of strata) expect(s.length).toBeGreaterThanOrEqual(25);
    // Over all latents: ln 10^4 = 9.2 and ln 3 = 1.1.
    expect(mean(density)).toBeLessThan(3.5);
    expect(mean(norms)).toBeLessThan(0.4);
    // With equal norms only density counts: no stratum but those at a border has two densities.
    const equal = matchedStrata(density, new Float64Array(1000).fill(1), 25);
    expect(equal.filter((s) => spread(density, s) > 0).length).toBeLessThanOrEqual(4);
  });

  it('draws others of the same stratum, each as often, and says when there are too few', () => {
    const strata = [Int32Array.of(3, 5, 7, 9, 11), Int32Array.of(1, 2)];
    const counts = new Map<number, number>();
    for (let seed = 0; seed < 3000; seed++)
      for (const f of matchedLatents(strata, 7, 2, seed)) counts.set(f, (counts.get(f) ?? 0) + 1);
    expect([...counts.keys()].toSorted((a, b) => a - b)).toEqual([3, 5, 9, 11]);
    for (const count of counts.values()) expect(Math.abs(count - 1500)).toBeLessThan(5 * Math.sqrt(750));
    expect(() => matchedLatents(strata, 1, 2, 0)).toThrow('only 1 others');
    expect(() => matchedLatents(strata, 4, 2, 0)).toThrow('never fired');
    expect(shuffled([1, 2, 3, 4], 'x').toSorted()).toEqual([1, 2, 3, 4]);
  });

  it('noise is as long as asked for and has no preferred direction', () => {
    const sum = new Float64Array(8);
    for (let seed = 0; seed < 2000; seed++) {
      const noise = noiseDirection(8, 3, seed);
      expect(Math.hypot(...noise)).toBeCloseTo(3, 5);
      for (const [d, value] of noise.entries()) sum[d]! += value / 2000;
    }
    // Each coordinate has standard deviation 3 / sqrt(8 * 2000).
    for (const value of sum) expect(Math.abs(value)).toBeLessThan((4.5 * 3) / Math.sqrt(16_000));
  });

  it('the difference of means is that of closed form', () => {
    expect(Array.from(differenceOfMeans([1, 2, 3, 6], [1, 0], 2))).toEqual([1, 4]);
    expect(() => differenceOfMeans([], [1, 0], 2)).toThrow('0 positive numbers');
    expect(() => differenceOfMeans([1], [1, 0], 2)).toThrow('no rows of 2');
    expect(Array.from(withNorm(Float32Array.of(3, 4), 10))).toEqual([6, 8]);
    expect(Array.from(withNorm(new Float32Array(2), 10))).toEqual([0, 0]);
  });

  it('the classifier has the weights of the formula and tells the kinds apart', () => {
    const { score, weights } = tokenClassifier([[0, 0, 1]], [[1, 2]], 3);
    // (n + 1) / (N + V): 3/6, 2/6, 1/6 against 1/5, 2/5, 2/5.
    for (const [v, ratio] of [3 / 6 / (1 / 5), 2 / 6 / (2 / 5), 1 / 6 / (2 / 5)].entries())
      expect(weights[v]).toBeCloseTo(Math.log(ratio), 12);
    expect(score([0, 2])).toBeCloseTo((weights[0]! + weights[2]!) / 2, 12);
    expect(score([])).toBe(0);
    expect(() => tokenClassifier([[]], [[1]], 3)).toThrow('positive texts are empty');
  });

  it('repetition counts pieces that stood before', () => {
    expect(repetition([1, 2, 3, 4, 5, 6])).toBe(0);
    expect(repetition([1, 1, 1, 1, 1, 1, 1])).toBe(0.75);
    expect(repetition([1, 2, 1, 2, 1], 2)).toBe(0.5);
    expect(repetition([1, 2])).toBe(0);
  });
});
