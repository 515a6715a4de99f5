import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import '../platform/node.ts';
import { createRng } from '../shared/rng.ts';
import { rowCosine } from './cosine.ts';
import { densityHistogram } from './density.ts';
import { createScatter } from './fvu.ts';
import { createMoments } from './moments.ts';
import { expNegative, klDivergence, logSumExp } from './next-token.ts';
import { fitPca, openPca } from './pca.ts';
import { scoredPositions } from './positions.ts';
import { countSingleToken, createTokenTally, singleTokenFirings } from './single-token.ts';

describe('scatter', () => {
  it('equals the two-pass value, also far from the origin and however it is split', () => {
    const rng = createRng('scatter');
    const D = 7;
    const N = 200;
    // A common offset of 1000 beside a spread of 1: raw moments in float32, or E[x²] − E[x]², would lose all digits.
    const x = Float32Array.from({ length: N * D }, (_, i) => 1000 * ((i % D) + 1) + rng.normal());
    const units = Int32Array.from({ length: N }, () => rng.int(9));
    const mean = Array.from({ length: D }, (_, d) => {
      let sum = 0;
      for (let r = 0; r < N; r++) sum += x[r * D + d]!;
      return sum / N;
    });
    const expected = new Float64Array(9);
    for (let r = 0; r < N; r++)
      for (let d = 0; d < D; d++) expected[units[r]!]! += (x[r * D + d]! - mean[d]!) ** 2;
    for (const cuts of [[N], [1, N], [64, 65, 150, N]]) {
      const scatter = createScatter(D);
      let from = 0;
      for (const to of cuts) {
        scatter.add(x.subarray(from * D, to * D), units.subarray(from, to), to - from);
        from = to;
      }
      for (const [u, v] of scatter.perUnit().entries())
        expect(Math.abs(v / expected[u]! - 1)).toBeLessThan(1e-9);
      for (const [d, v] of scatter.mean().entries()) expect(v).toBeCloseTo(mean[d]!, 9);
    }
  });
});

describe('next-token losses', () => {
  it('take their exponential from a table that agrees with Math.exp', () => {
    for (let x = 0; x > -699; x -= 0.0137)
      expect(Math.abs(expNegative(x) / Math.exp(x) - 1)).toBeLessThan(1e-11);
    // A logarithm of a probability may come out a little above 0.
    expect(Math.abs(expNegative(1e-6) - Math.exp(1e-6))).toBeLessThan(1e-12);
    expect(expNegative(-1e30)).toBe(0);
    expect(expNegative(Number.NEGATIVE_INFINITY)).toBe(0);
    expect(expNegative(Number.NaN)).toBeNaN();
  });

  it('KL of uniform against two values is the closed form, and an offset of the logits changes nothing', () => {
    const p = 0.8;
    const other = Float32Array.from([Math.log(p) + 50, Math.log(1 - p) + 50]);
    const clean = Float32Array.from([-300, -300]);
    const kl = klDivergence(clean, logSumExp(clean, 0, 2), other, logSumExp(other, 0, 2), 0, 2);
    expect(kl).toBeCloseTo(0.5 * Math.log(0.5 / p) + 0.5 * Math.log(0.5 / (1 - p)), 5);
  });
});

describe('cosine', () => {
  it('is 1 for any positive scale, -1 for the opposite, 0 for the zero vector', () => {
    const x = Float32Array.from([1, 2, -3]);
    expect(
      rowCosine(
        x,
        x.map((v) => 4 * v),
        0,
        3,
      ),
    ).toBeCloseTo(1, 12);
    expect(
      rowCosine(
        x,
        x.map((v) => -v),
        0,
        3,
      ),
    ).toBeCloseTo(-1, 12);
    expect(rowCosine(x, new Float32Array(3), 0, 3)).toBe(0);
  });
});

describe('density', () => {
  it('puts frequencies on quarter decades and keeps rare latents apart from those that never fired', () => {
    const rows = 10_000_000;
    const { edges, counts, never } = densityHistogram([0, 0, 1, 10 ** 4, rows, rows / 2], rows);
    expect(never).toBe(2);
    expect(counts.reduce((a, b) => a + b)).toBe(4);
    expect(counts[0]).toBe(1);
    expect(counts[edges.indexOf(-3)]).toBe(1);
    expect(counts.at(-1)).toBe(1);
    expect(counts.at(-2)).toBe(1);
  });
});

describe('single-token latents', () => {
  it('agree with exact counts; bounds always hold the exact share', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1_000_000 }),
        fc.constantFrom(0.3, 0.8, 0.92, 1),
        fc.integer({ min: 1, max: 400 }),
        (seed, share, n) => {
          const rng = createRng(seed);
          const tally = createTokenTally(1);
          const exact = new Map<number, number>();
          for (let i = 0; i < n; i++) {
            const token = rng.uniform() < share ? 7 : 10 + rng.int(60);
            tally.add(0, token);
            exact.set(token, (exact.get(token) ?? 0) + 1);
          }
          const { token, low, high } = tally.leader(0)!;
          const count = exact.get(token) ?? 0;
          expect(low).toBeLessThanOrEqual(count);
          expect(high).toBeGreaterThanOrEqual(count);
          const most = Math.max(...exact.values());
          const { single, judged } = countSingleToken(tally);
          expect(judged).toBe(n >= singleTokenFirings ? 1 : 0);
          // Exact unless the truth lies within the few firings that evictions may have lost.
          if (judged && Math.abs(most / n - 0.9) > 0.02) expect(single).toBe(most / n >= 0.9 ? 1 : 0);
          if (single) expect(most / n).toBeGreaterThanOrEqual(0.9);
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe('moments', () => {
  it('of many rows far from zero equal the two passes of the textbook', async () => {
    const rng = createRng('two passes');
    const [N, D] = [2500, 3];
    const x = Float32Array.from({ length: N * D }, (_, i) => 1000 * (i % D) + rng.normal());
    const moments = createMoments(D);
    for (const [from, to] of [
      [0, 2100],
      [2100, N],
    ] as const)
      await moments.add(x.subarray(from * D, to * D), to - from);
    const rows = Float64Array.from(x);
    const mean = [0, 1, 2].map((d) => rows.filter((_, i) => i % D === d).reduce((a, v) => a + v / N, 0));
    const covariance = moments.covariance();
    for (let i = 0; i < D; i++) {
      for (let j = 0; j < D; j++) {
        let sum = 0;
        for (let b = 0; b < N; b++) sum += (x[b * D + i]! - mean[i]!) * (x[b * D + j]! - mean[j]!);
        expect(covariance[i * D + j]).toBeCloseTo(sum / N, 9);
      }
    }
  });

  it('go on from a stored state with the same bits', async () => {
    const rng = createRng('moments');
    const D = 5;
    const batches = [7, 1, 12].map((B) => Float32Array.from({ length: B * D }, () => rng.normal() + 3));
    const [whole, before, after] = [createMoments(D), createMoments(D), createMoments(D)];
    for (const x of batches) await whole.add(x, x.length / D);
    for (const x of batches.slice(0, 2)) await before.add(x, x.length / D);
    after.restore(before.state());
    await after.add(batches[2]!, 12);
    expect(after.n).toBe(20);
    expect(after.mean()).toEqual(whole.mean());
    expect(after.covariance()).toEqual(whole.covariance());
  });
});

describe('PCA', () => {
  it('explains what Eckart–Young says, and everything with K = D', async () => {
    const rng = createRng('pca');
    const D = 6;
    const N = 100;
    const x = Float32Array.from({ length: N * D }, (_, i) => rng.normal() * ((i % D) + 1) + 3);
    const moments = createMoments(D);
    await moments.add(x, N);
    for (const K of [1, 3, D]) {
      const pca = fitPca(moments, K);
      const xhat = await (await openPca(pca))(x, N);
      let error = 0;
      for (let i = 0; i < x.length; i++) error += (x[i]! - xhat[i]!) ** 2;
      const expected = N * pca.eigenvalues.subarray(K).reduce((a, b) => a + b, 0);
      expect(Math.abs(error - expected)).toBeLessThan(1e-4 * N * D);
    }
    expect(() => fitPca(moments, D + 1)).toThrow('from 1 to 6');
    expect(() => fitPca(createMoments(3), 1)).toThrow('0 rows');
  });
});

describe('scored predictions', () => {
  it('stay inside a row, a document and the real tokens', () => {
    const packed = {
      R: 2,
      T: 4,
      ids: new Int32Array(8),
      mask: Uint8Array.from([1, 1, 1, 1, 1, 1, 1, 0]),
      documents: Int32Array.from([0, 0, 1, 1, 1, 1, 1, -1]),
      starts: new Int32Array(8),
      ends: new Int32Array(8),
    };
    // 1 ends document 0, 3 and 6 end their rows' text; 4 was not measured.
    expect([...scoredPositions(packed, Int32Array.from([0, 1, 2, 3, 5, 6]))]).toEqual([0, 2, 5]);
  });
});
