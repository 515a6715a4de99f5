import { expect, test } from 'vitest';
import type { RunSummary } from '../src/shared/api.ts';
import { mostToShow } from '../web/src/words.ts';

const run = (name: string, latents: number, indexed: boolean): RunSummary => ({
  ...{ run: name, folder: name, kind: 'run', live: false, latents, status: 'finished' },
  ...(indexed ? { indexedOn: { tokens: 1000, documents: 10 } } : {}),
});

test('the app opens on an indexed run, whatever was trained beside it, then on the largest', () => {
  const [fresh, bundled, small] = [
    run('fresh', 4096, false),
    run('bundled', 4096, true),
    run('small', 8, true),
  ];
  expect(mostToShow([fresh, small, bundled])?.run).toBe('bundled');
  expect(mostToShow([run('wide', 9000, false), small])?.run).toBe('small');
  expect(mostToShow([run('a', 1, false), fresh])?.run).toBe('fresh');
  expect(mostToShow([])).toBeUndefined();
});
