import { describe, expect, test } from 'vitest';
import { createRng } from '../../shared/rng.ts';
import { checkSampling, type Sampling, sampleToken } from './sample.ts';

const DRAWS = 20_000;
/** Shares of each token over many draws. */
function shares(logits: readonly number[], sampling: Sampling): number[] {
  const rng = createRng('shares');
  const counts = logits.map(() => 0);
  const values = Float32Array.from(logits);
  for (let i = 0; i < DRAWS; i++) counts[sampleToken(values, sampling, rng)]!++;
  return counts.map((count) => count / DRAWS);
}
/** Five standard deviations of a share, at most. */
const NOISE = 5 * Math.sqrt(0.25 / DRAWS);
const near = (found: readonly number[], expected: readonly number[]) => {
  for (const [i, share] of found.entries()) expect(Math.abs(share - expected[i]!)).toBeLessThan(NOISE);
};
const share = (weights: readonly number[]) => {
  const total = weights.reduce((a, b) => a + b);
  return weights.map((w) => w / total);
};

const logits = [2, 0, 1, -3];
const softmax = (temperature: number) => share(logits.map((x) => Math.exp(x / temperature)));

test.each([1, 0.5, 3])('follows softmax(logits / temperature): %f', (temperature) => {
  near(shares(logits, { temperature, topP: 1 }), softmax(temperature));
});

test('logits that are no numbers are refused, with temperature and without', () => {
  for (const temperature of [0, 1])
    expect(() => shares([Number.NaN, Number.NaN], { temperature, topP: 1 })).toThrow(
      /gives NaN for the next token/,
    );
});

test('top-p keeps the fewest tokens that reach the mass, and their proportions', () => {
  const [p0, , p2] = softmax(1) as [number, number, number];
  // 0.665 and 0.245: the first alone reaches 0.6, both reach 0.9.
  expect(shares(logits, { temperature: 1, topP: 0.6 })).toEqual([1, 0, 0, 0]);
  const two = shares(logits, { temperature: 1, topP: 0.9 });
  near(two, share([p0, 0, p2, 0]));
  expect(two[1]! + two[3]!).toBe(0);
  expect(shares(logits, { temperature: 1, topP: 1e-9 })).toEqual([1, 0, 0, 0]);
});

test('top-k and min-p cut before top-p counts', () => {
  const [p0, p1, p2] = softmax(1) as [number, number, number];
  near(shares(logits, { temperature: 1, topP: 1, topK: 3 }), share([p0, p1, p2, 0]));
  expect(shares(logits, { temperature: 1, topP: 1, topK: 1 })).toEqual([1, 0, 0, 0]);
  // Of the two that are left, the first has 0.731: it alone reaches 0.7, which it does not among all four.
  expect(shares(logits, { temperature: 1, topP: 0.7, topK: 2 })).toEqual([1, 0, 0, 0]);
  // Relative to the first, the others have 0.135, 0.368 and 0.0067.
  near(shares(logits, { temperature: 1, topP: 1, minP: 0.2 }), share([p0, 0, p2, 0]));
  expect(shares(logits, { temperature: 1, topP: 0.7, minP: 0.2 })).toEqual([1, 0, 0, 0]);
});

describe('a large vocabulary, of which few are sorted', () => {
  const rng = createRng('vocabulary');
  const many = Float32Array.from({ length: 1500 }, () => 3 * rng.normal());
  /** The definition: all tokens in order of weight, cut where the mass is reached. */
  function obvious({ temperature, topP }: Sampling, uniform: number): number {
    const best = Math.max(...many);
    const weights = Array.from(many, (x) => Math.exp((x - best) / temperature));
    const order = [...weights.keys()].sort((a, b) => weights[b]! - weights[a]! || a - b);
    const total = weights.reduce((a, b) => a + b);
    let kept = 0;
    let mass = 0;
    while (kept < order.length && (kept === 0 || mass < topP * total)) mass += weights[order[kept++]!]!;
    let left = uniform * mass;
    for (const i of order.slice(0, kept)) {
      left -= weights[i]!;
      if (left < 0) return i;
    }
    return order[kept - 1]!;
  }
  test.each([0.1, 0.5, 0.95, 0.9999, 1 - 1e-9])('top-p %f', (topP) => {
    const [ours, theirs] = [createRng('draws'), createRng('draws')];
    for (const temperature of [0.3, 1, 4])
      for (let i = 0; i < 12; i++) {
        const sampling = { temperature, topP };
        expect(sampleToken(many, sampling, ours)).toBe(obvious(sampling, theirs.uniform()));
      }
  });
});

test('temperature 0 takes the first of the largest', () => {
  expect(sampleToken(Float32Array.of(1, 5, 5), { temperature: 0, topP: 1 }, createRng(0))).toBe(1);
});

test('settings without meaning are refused', () => {
  const check = (wrong: object) => () => checkSampling({ temperature: 1, topP: 1, ...wrong });
  expect(check({ temperature: -1 })).toThrow(/temperature is -1/);
  expect(check({ temperature: Number.NaN })).toThrow(/temperature is NaN/);
  expect(check({ topP: 0 })).toThrow(/topP is 0/);
  expect(check({ topK: 0.5 })).toThrow(/topK is 0.5, expected a positive integer/);
  expect(check({ minP: 2 })).toThrow(/minP is 2/);
});
