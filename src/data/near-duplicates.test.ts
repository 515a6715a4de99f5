import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createRng } from '../shared/rng.ts';
import { bandKeys, createNearIndex, jaccard, shingles } from './near-duplicates.ts';
import { openCorpus } from './node/corpus.ts';

/** Texts of random words, and copies with a share of the words changed. */
function texts(count: number, seed: number): string[] {
  const rng = createRng(seed);
  const words = (n: number) => Array.from({ length: n }, () => `w${rng.int(3000)}`);
  const out: string[] = [];
  for (let i = 0; i < count; i++) {
    const base = words(60 + rng.int(200));
    out.push(base.join(' '));
    const changed = rng.uniform() * 0.15;
    out.push(base.map((w) => (rng.uniform() < changed ? 'other' : w)).join(', '));
  }
  return out;
}

/** The slow obvious version: sets of joined words. */
function exact(a: string, b: string): number {
  const grams = (text: string) => {
    const words = text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
    return new Set(words.slice(0, words.length - 4).map((_, i) => words.slice(i, i + 5).join(' ')));
  };
  const [x, y] = [grams(a), grams(b)];
  const both = [...x].filter((g) => y.has(g)).length;
  return both / (x.size + y.size - both);
}

test('similarity of hashed sequences is that of the sequences themselves', () => {
  const list = texts(30, 1);
  for (let i = 0; i < list.length; i += 2)
    expect(jaccard(shingles(list[i]!), shingles(list[i + 1]!))).toBeCloseTo(
      exact(list[i]!, list[i + 1]!),
      12,
    );
  expect(jaccard(shingles(list[0]!), shingles(list[2]!))).toBe(0);
  expect(jaccard(shingles('The cat, sat!  on the MAT'), shingles('the cat sat on the mat'))).toBe(1);
});

test('pairs share a band about as often as the formula for independent bins says', () => {
  const list = texts(600, 2);
  let [expected, found, alike, alikeFound] = [0, 0, 0, 0];
  for (let i = 0; i < list.length; i += 2) {
    const index = createNearIndex();
    index.add(0, bandKeys(list[i]!)!);
    const hit = index.candidates(bandKeys(list[i + 1]!)!).size;
    const J = exact(list[i]!, list[i + 1]!);
    expected += 1 - (1 - J ** 4) ** 16;
    found += hit;
    if (J >= 0.7) {
      alike++;
      alikeFound += hit;
    }
  }
  expect(alike).toBeGreaterThan(100);
  expect(alikeFound / alike).toBeGreaterThan(0.98);
  expect(Math.abs(found - expected) / expected).toBeLessThan(0.1);
  // Unrelated texts are no candidates.
  const index = createNearIndex();
  for (let i = 0; i < 600; i += 2) index.add(i, bandKeys(list[i]!)!);
  const strangers = texts(100, 3).filter((text) => index.candidates(bandKeys(text)!).size > 0);
  expect(strangers.length).toBe(0);
});

test('a corpus leaves out exactly the training documents that are near-duplicates of held-out ones', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'saekit-test-'));
  try {
    const list = texts(200, 4);
    const lines = (items: readonly string[]) => items.map((text) => `${JSON.stringify({ text })}\n`).join('');
    const held = list.filter((_, i) => i % 2 === 0);
    const train = [...list.filter((_, i) => i % 2 === 1), 'short text', 'short text too'];
    await writeFile(join(folder, 'train.jsonl'), lines(train));
    await writeFile(join(folder, 'held.jsonl'), lines([...held, 'short text two']));
    const open = (keepNearDuplicates: boolean) =>
      openCorpus({
        data: [join(folder, 'train.jsonl')],
        heldout: [join(folder, 'held.jsonl')],
        keepNearDuplicates,
      });
    const corpus = await open(false);
    const kept = new Set<string>();
    for (let i = 0; i < corpus.train.count; i++) kept.add((await corpus.train.get(i)).text);
    const near = train.filter((text) => text.length > 100 && held.some((other) => exact(text, other) >= 0.7));
    expect(near.length).toBeGreaterThan(30);
    const wronglyRemoved = train.filter((text) => !kept.has(text) && !near.includes(text));
    const missed = near.filter((text) => kept.has(text));
    expect(wronglyRemoved).toEqual([]);
    expect(missed.length / near.length).toBeLessThan(0.03);
    expect(corpus.nearDuplicates).toBe(train.length - kept.size);
    expect(corpus.split).toContain(`${corpus.nearDuplicates} training documents left out`);
    const all = await open(true);
    expect([all.train.count, all.nearDuplicates]).toEqual([train.length, 0]);
    expect(all.train.fingerprint).not.toBe(corpus.train.fingerprint);
    await Promise.all([corpus.close(), all.close()]);
  } finally {
    await rm(folder, { recursive: true });
  }
});
