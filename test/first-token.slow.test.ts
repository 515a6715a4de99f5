// A change of features, strengths, positions and rules is seen at once: no session is opened for it. The figure, at most 200 ms: npm run bench -- --only steer.first_token.
import { expect, it } from 'vitest';
import { type FirstTokens, firstTokensOfLibrary, firstTokensOverHttp } from '../bench/lib/first-token.ts';
import { quantile } from '../bench/lib/quantile.ts';
import { readBundledCorpus } from '../src/demo/bundled-corpus.ts';
import { root } from './repository.ts';
import { EARLY, LATE } from './support/demo.ts';
import '../src/platform/node.ts';

const options = {
  demo: `${root}/demo`,
  hooks: [LATE, EARLY],
  prompts: readBundledCorpus('heldout')
    .slice(0, 40)
    .map(({ text }) => text.slice(0, 80)),
  ...{ changes: 40, threads: 2 },
};
/** Wide: other programs may have the cores. */
const MOST_MS = 1500;

it.each([
  ['the library', firstTokensOfLibrary],
  ['saekit serve', firstTokensOverHttp],
] as const)(
  '%s',
  async (_, measure) => {
    const { steered, sessions }: FirstTokens = await measure(options);
    expect(steered).toHaveLength(40);
    // The count sees sessions: the warm-up opens some.
    expect(sessions.warm).toBeGreaterThan(0);
    expect(sessions.changes).toBe(0);
    expect(quantile(steered, 0.95)).toBeLessThan(MOST_MS);
  },
  300_000,
);
