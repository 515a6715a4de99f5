import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRng } from '../shared/rng.ts';
import { createLabelScores } from './label-scores.ts';

const labels = [
  { name: 'a', kind: 'register' },
  { name: 'b', kind: 'concept' },
  { name: 'c', kind: 'concept' },
] as const;

type Token = { half: number; labels: number[]; value: number };

/** The obvious way: for every label and threshold go through all tokens. */
function f1(tokens: Token[], half: number, label: number, threshold: number) {
  const own = tokens.filter((t) => t.half === half);
  const on = own.filter((t) => t.value > 0 && t.value >= threshold * (1 - 1e-6));
  const positives = own.filter((t) => t.labels.includes(label));
  const hits = on.filter((t) => t.labels.includes(label)).length;
  return {
    f1: (2 * hits) / (on.length + positives.length),
    precision: on.length ? hits / on.length : 0,
    recall: hits / positives.length,
  };
}

function feed(tokens: Token[]) {
  const scores = createLabelScores(2, labels);
  scores.calibrate(Float32Array.from(tokens, (t) => t.value));
  for (const t of tokens) {
    scores.addToken(t.half, t.labels);
    if (t.value > 0) scores.addFiring(1, t.half, t.value, t.labels);
  }
  return scores;
}

describe('label scores', () => {
  it('are those of going through all tokens, and no label and grid threshold fits the first half better', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const rng = createRng(seed);
        const tokens = Array.from({ length: 120 }, (): Token => {
          const own = [0, 1, 2].filter(() => rng.uniform() < 0.3);
          const value =
            own.includes(1) && rng.uniform() < 0.8
              ? 2 + rng.uniform()
              : rng.uniform() < 0.3
                ? 0.1 + 2 * rng.uniform()
                : 0;
          return { half: rng.int(2), labels: own, value: Math.fround(value) };
        });
        const best = feed(tokens).best(1)!;
        const label = labels.findIndex(({ name }) => name === best.label);
        const held = f1(tokens, 1, label, best.threshold);
        expect(best.f1).toBeCloseTo(held.f1, 10);
        expect(best.precision).toBeCloseTo(held.precision, 10);
        expect(best.recall).toBeCloseTo(held.recall, 10);
        const fitted = f1(tokens, 0, label, best.threshold).f1;
        const values = tokens.map((t) => t.value).filter((v) => v > 0);
        const [low, high] = [Math.min(...values), 2 * Math.max(...values)];
        for (let other = 0; other < 3; other++) {
          for (let bin = 0; bin < 32; bin++) {
            expect(fitted).toBeGreaterThanOrEqual(
              f1(tokens, 0, other, bin === 0 ? 0 : low * (high / low) ** (bin / 32)).f1 - 1e-9,
            );
          }
        }
      }),
      { numRuns: 30 },
    );
  });

  it('find a latent that is its label, need no threshold for it, and ignore a latent that never fired', () => {
    const tokens = Array.from(
      { length: 80 },
      (_, i): Token => ({ half: i % 2, labels: i % 8 < 2 ? [2] : [], value: i % 8 < 2 ? 1 + i : 0 }),
    );
    const scores = feed(tokens);
    expect(scores.best(1)).toMatchObject({
      label: 'c',
      kind: 'concept',
      f1: 1,
      precision: 1,
      recall: 1,
      threshold: 0,
      positives: 10,
    });
    expect(scores.best(0)).toBeUndefined();
    expect(scores.counts(1, 2)).toEqual({ tokens: 20, firings: 20 });
    expect(scores.counts(1, 0)).toEqual({ tokens: 0, firings: 0 });
  });

  it('choose a threshold where weak firings are noise', () => {
    const tokens = Array.from(
      { length: 400 },
      (_, i): Token => ({ half: i % 2, labels: i % 20 < 2 ? [0] : [], value: i % 20 < 2 ? 50 : 1 }),
    );
    const best = feed(tokens).best(1)!;
    expect(best).toMatchObject({ label: 'a', f1: 1 });
    expect(best.threshold).toBeGreaterThan(1);
    expect(best.threshold).toBeLessThanOrEqual(50);
  });
});
