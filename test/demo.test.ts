// What `npm start` shows of the finished run that ships with the package.
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { displayWidth } from '../src/cli/output/width.ts';
import { openFeatureTables } from '../src/store/index.ts';
import { buildOnce, saekit } from './fixtures/command-line.ts';
import { read, root, trackedFiles } from './repository.ts';
import { cardsOf, EARLY, LATE, late } from './support/demo.ts';

beforeAll(buildOnce, 120_000);

describe('demo', () => {
  it('ships a model, a corpus and a finished SAE with its evaluation and cards, and no states', () => {
    const saes = trackedFiles.filter((path) => path.startsWith('demo/saes/'));
    for (const file of [
      'cfg.json',
      'sae_weights.safetensors',
      'run.json',
      'eval.json',
      'features/cards.json',
    ])
      expect(
        saes.some((path) => path.endsWith(`/${file}`)),
        file,
      ).toBe(true);
    expect(saes.filter((path) => /checkpoints|\.lock|\.tmp/.test(path))).toEqual([]);
  });

  it('is 40 MB at most, all together', () => {
    const bytes = trackedFiles
      .filter((path) => path.startsWith('demo/'))
      .reduce((sum, path) => sum + statSync(join(root, path)).size, 0);
    expect(bytes).toBeLessThanOrEqual(40e6);
  });

  it('has feature tables with text of every register and language, whose latents peak on the language of their cards', async () => {
    const tables = await openFeatureTables(join(late.folder, 'features'));
    const { tokens, register, language } = await tables.documents(['tokens', 'register', 'language']);
    const readOf = (values: ArrayLike<unknown>) =>
      new Set(Array.from(values).filter((_, d) => Number(tokens![d]) > 0));
    for (const values of [register!, language!]) expect(readOf(values)).toEqual(new Set(Array.from(values)));
    // Cards come from another and larger text.
    const of = (label = '') => /^language\/(.+)$/.exec(label)?.[1];
    const told = cardsOf(LATE).filter(({ best }) => of(best?.label) && best!.f1 > 0.8);
    expect(told.length).toBeGreaterThan(4);
    for (const { latent, best } of told) {
      const [top] = await tables.examples(latent);
      const { documents } = await tables.text(top!.at, top!.at + 1);
      expect([latent, String(language![documents[0]!]).toLowerCase()]).toEqual([latent, of(best!.label)]);
    }
    await tables.close();
  });

  it('has the SAEs that README, docs, examples and help texts name', () => {
    const texts = trackedFiles.filter((path) => /^(README|docs\/|examples\/|src\/).*\.(md|ts)$/.test(path));
    const named = texts.flatMap((path) =>
      [...read(path).matchAll(/demo\/saes\/(blocks[\w.]+)/g)].map(([, name]) => name!),
    );
    expect(named.length).toBeGreaterThan(10);
    expect(new Set(named)).toEqual(new Set([LATE, EARLY].filter((name) => named.includes(name))));
  });

  it('shows twelve features with passages and output tokens, its figures beside a control, and one at work', async () => {
    const { status, stdout, stderr } = await saekit(['demo', '--no-train'], { env: { COLUMNS: '100' } });
    expect(stderr).toBe('');
    expect(status).toBe(0);
    const heads = stdout.match(/^#\d+ .*fires on 1 in [\d,]+$/gm) ?? [];
    expect(heads).toHaveLength(12);
    expect(stdout.match(/^ {2}raises '.*lowers '/gm)).toHaveLength(12);
    // Four passages each, every peak marked.
    expect((stdout.match(/«[^»]*»/g) ?? []).length).toBeGreaterThanOrEqual(4 * 10);
    expect(stdout).toMatch(/this SAE +0\.\d{3} +0\.\d{3}\.\.0\.\d{3}/);
    expect(stdout).toMatch(/control: PCA-\d+/);
    expect(stdout).toMatch(/without .*\n[\s\S]*with .*\n[\s\S]*random /);
    for (const line of stdout.split('\n')) expect(displayWidth(line)).toBeLessThanOrEqual(100);
  }, 120_000);
});
