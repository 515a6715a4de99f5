// Every example runs, on the tiny model, as a process of its own.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildOnce } from './fixtures/command-line.ts';
import { writeTinyCorpus, writeTinyModel } from './fixtures/tiny-model.ts';
import { root } from './repository.ts';

let work: string;
beforeAll(() => {
  // Examples import the sources, and those the generated kernels.
  buildOnce();
  work = mkdtempSync(join(tmpdir(), 'saekit-examples-'));
  writeTinyModel(join(work, 'model'));
  writeTinyCorpus(join(work, 'corpus.jsonl'));
}, 120_000);
afterAll(() => rmSync(work, { recursive: true, force: true }));

const run = (example: string): string =>
  execFileSync(
    process.execPath,
    [
      ...['--import', 'tsx'],
      join(root, 'examples', example),
      ...[join(work, 'model'), join(work, 'corpus.jsonl')],
    ],
    { cwd: root, encoding: 'utf8' },
  );

describe('examples', () => {
  it('01: trains and encodes', () => {
    const lines = run('01-train-and-encode.ts').trim().split('\n');
    expect(lines.filter((line) => line.startsWith('step '))).toHaveLength(20);
    expect(lines.at(-1)).toMatch(/^"\." +#\d+ \d/);
  }, 120_000);

  it('02: reads several hooks at once', () => {
    expect(run('02-run-with-cache.ts')).toMatch(
      /blocks\.1\.hook_resid_post {2}\[2, 36, 32\] {2}mean length \d/,
    );
  }, 60_000);

  it('08: finds the parts of images in an .npy file, which PCA does not', () => {
    const text = run('08-image-patches.ts');
    expect(text).toMatch(/^npy: 22000 rows of 64\n/);
    const [, fvu, found] = /SAE, K = 4 +(\S+) +(\d+)/.exec(text)!.map(Number);
    const [, control, foundByPca] = /control: PCA-4 +(\S+) +(\d+)/.exec(text)!.map(Number);
    expect(fvu).toBeLessThan(control! / 5);
    expect(found).toBeGreaterThanOrEqual(14);
    expect(foundByPca).toBeLessThanOrEqual(4);
  }, 60_000);

  it('are all run here', () => {
    expect(readdirSync(join(root, 'examples')).sort()).toEqual([
      '01-train-and-encode.ts',
      '02-run-with-cache.ts',
      '08-image-patches.ts',
    ]);
  });
});
