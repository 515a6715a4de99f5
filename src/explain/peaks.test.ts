import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRng } from '../shared/rng.ts';
import { createPeaks, sampledPeaks, topPeaks } from './peaks.ts';

describe('peaks', () => {
  it('hold the strongest passages, and all passages while there are few', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 120 }), (seed, passages) => {
        const rng = createRng(seed);
        const peaks = createPeaks(3);
        const expected: { at: number; value: number }[] = [];
        let at = 0;
        for (let p = 0; p < passages; p++) {
          let best: { at: number; value: number } | undefined;
          for (let t = 0; t < 5; t++, at++) {
            if (rng.uniform() < 0.6) continue;
            const value = Math.fround(0.01 + rng.uniform());
            peaks.add(1, value, at);
            if (best === undefined || value > best.value) best = { at, value };
          }
          peaks.endPassage();
          if (best) expected.push(best);
        }
        expect(peaks.passages(1)).toBe(expected.length);
        expect(peaks.top(1)).toEqual(
          [...expected].sort((a, b) => b.value - a.value || a.at - b.at).slice(0, topPeaks),
        );
        const sample = peaks.sample(1);
        expect(sample.length).toBe(Math.min(expected.length, sampledPeaks));
        const known = new Map(expected.map((peak) => [peak.at, peak.value]));
        for (const [i, peak] of sample.entries()) {
          expect(known.get(peak.at)).toBe(peak.value);
          if (i > 0) expect(peak.value).toBeGreaterThanOrEqual(sample[i - 1]!.value);
        }
        expect(new Set(sample.map((peak) => peak.at)).size).toBe(sample.length);
        expect(peaks.top(0)).toEqual([]);
        expect(peaks.sample(2)).toEqual([]);
      }),
      { numRuns: 60 },
    );
  });

  it('sample passages uniformly, early and late alike', () => {
    const hits = [0, 0, 0, 0];
    for (let seed = 0; seed < 200; seed++) {
      const peaks = createPeaks(1, seed);
      for (let p = 0; p < 400; p++) {
        peaks.add(0, 1, p);
        peaks.endPassage();
      }
      for (const { at } of peaks.sample(0)) hits[Math.floor(at / 100)]!++;
    }
    // 8,000 draws in four quarters: 2,000 each, standard deviation about 37.
    for (const n of hits) expect(Math.abs(n - 2000)).toBeLessThan(150);
  });
});
