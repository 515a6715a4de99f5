import { describe, expect, test } from 'vitest';
import { createRng } from '../shared/rng.ts';
import { generateIds, sampleToken } from './generate.ts';

/** Shares of each token over many draws. */
function shares(logits: number[], temperature: number, topP: number, draws = 20_000): number[] {
  const rng = createRng('shares');
  const counts = logits.map(() => 0);
  for (let i = 0; i < draws; i++) counts[sampleToken(Float32Array.from(logits), temperature, topP, rng)]!++;
  return counts.map((count) => count / draws);
}

/** Five standard deviations of a share over 20,000 draws, at most. */
const NOISE = 5 * Math.sqrt(0.25 / 20_000);

describe('sampling', () => {
  const logits = [2, 0, 1, -3];
  const softmax = (temperature: number) => {
    const weights = logits.map((x) => Math.exp(x / temperature));
    const total = weights.reduce((a, b) => a + b);
    return weights.map((w) => w / total);
  };

  test.each([1, 0.5, 3])('follows softmax(logits / temperature): %f', (temperature) => {
    const expected = softmax(temperature);
    for (const [i, share] of shares(logits, temperature, 1).entries())
      expect(Math.abs(share - expected[i]!)).toBeLessThan(NOISE);
  });

  test('top-p keeps the fewest tokens that reach the mass, and their proportions', () => {
    const [p0, , p2] = softmax(1) as [number, number, number];
    // 0.665 and 0.245: the first alone reaches 0.6, both reach 0.9.
    expect(shares(logits, 1, 0.6)).toEqual([1, 0, 0, 0]);
    const two = shares(logits, 1, 0.9);
    expect(Math.abs(two[0]! - p0 / (p0 + p2))).toBeLessThan(NOISE);
    expect(two[1]! + two[3]!).toBe(0);
    expect(shares(logits, 1, 1e-9)).toEqual([1, 0, 0, 0]);
  });

  test('temperature 0 takes the first of the largest', () => {
    expect(sampleToken(Float32Array.of(1, 5, 5), 0, 1, createRng(0))).toBe(1);
  });
});

describe('a sequence', () => {
  /** Always wants the next id. */
  const next = async (ids: readonly number[]) => {
    const logits = new Float32Array(10);
    logits[(ids.at(-1)! + 1) % 10] = 1;
    return logits;
  };

  test('ends before an end token, at the count and at the context', async () => {
    const run = (options: object) => generateIds([2], next, { endIds: [], contextLength: 100, ...options });
    expect(await run({ endIds: [6] })).toEqual([2, 3, 4, 5]);
    expect(await run({ maxNewTokens: 2 })).toEqual([2, 3, 4]);
    expect(await run({ contextLength: 4 })).toEqual([2, 3, 4, 5]);
    expect(await run({ maxNewTokens: 0 })).toEqual([2]);
  });

  test('refuses settings without meaning', async () => {
    const run = (options: object) => generateIds([2], next, { endIds: [], contextLength: 9, ...options });
    await expect(run({ temperature: -1 })).rejects.toThrow(/temperature is -1/);
    await expect(run({ topP: 0 })).rejects.toThrow(/topP is 0/);
    await expect(run({ temperature: Number.NaN })).rejects.toThrow(/temperature is NaN/);
  });
});
