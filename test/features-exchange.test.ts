// Dashboards to and from other programs: what is written says the same as the tables, what is read lands on the right latents or nowhere.
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as library from '../src/index.ts';
import { createRng } from '../src/shared/rng.ts';
import { saekit } from './fixtures/command-line.ts';
import { cardsOf, early, GREEK, LATE, late } from './support/demo.ts';

const [PLAIN, BRAND] = cardsOf(LATE)
  .map(({ latent }) => latent)
  .filter((latent) => latent !== GREEK) as [number, number];
const LATENTS = [PLAIN, BRAND, GREEK];
/** labels.jsonl of the copies; that of the bundled run may say anything. */
const LABELS = `${JSON.stringify({ latent: GREEK, label: 'Greek, mostly at epsilon', checked: 'by eye' })}\n`;
let work: string;
let run: string;
let tables: library.FeatureTables;
const lines = (path: string): Record<string, unknown>[] =>
  gunzipSync(readFileSync(path))
    .toString()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), 'saekit-exchange-'));
  run = join(work, 'run');
  cpSync(late.folder, run, { recursive: true });
  writeFileSync(join(run, 'labels.jsonl'), LABELS);
  tables = await library.openFeatureTables(join(run, 'features'));
});
afterAll(async () => {
  await tables.close();
  rmSync(work, { recursive: true });
});

describe('export', () => {
  it("writes Neuronpedia's rows: numbers of the tables, passages with their activations", async () => {
    const out = join(work, 'neuronpedia');
    const { status, stdout } = await saekit(
      `features export ${run} ${out} --model-id demo --source 2-res --latents ${LATENTS.join(' ')}`.split(
        ' ',
      ),
    );
    expect([status, stdout]).toEqual([0, expect.stringMatching(/^3 latents, \d+ passages/m)]);
    const features = lines(join(out, 'features/batch-0.jsonl.gz'));
    for (const [i, latent] of LATENTS.entries()) {
      const row = await tables.latent(latent);
      expect(features[i]).toMatchObject({
        ...{ modelId: 'demo', layer: '2-res', index: String(latent), hookName: LATE },
        ...{ maxActApprox: row.max, frac_nonzero: row.density, pos_values: [...row.raises_by] },
        ...{ pos_str: [...row.raises_texts], freq_hist_data_bar_heights: [...row.histogram] },
      });
    }
    const activations = lines(join(out, 'activations/batch-0.jsonl.gz'));
    for (const { tokens, values, maxValue, maxValueTokenIndex } of activations as {
      tokens: string[];
      values: number[];
      maxValue: number;
      maxValueTokenIndex: number;
    }[]) {
      expect(values).toHaveLength(tokens.length);
      expect(values[maxValueTokenIndex]).toBe(maxValue);
    }
    const shown = (await tables.examples(PLAIN)).filter(
      ({ kind }) => !['near_miss', 'decile'].includes(kind),
    );
    const written = activations.filter(({ index }) => index === String(PLAIN));
    expect(written.map(({ maxValue }) => maxValue)).toEqual(shown.map(({ value }) => value));
    // Each interval as wide as the others, with its share of all activations.
    const { values: all } = await tables.activations(PLAIN);
    const { max } = await tables.latent(PLAIN);
    const intervals = written.filter((_, i) => shown[i]!.kind === 'interval') as Record<string, number>[];
    expect(intervals.length).toBeGreaterThan(3);
    for (const { binMin, binMax, binContains, maxValue } of intervals) {
      expect(binMax! - binMin!).toBeCloseTo(max / 10, 4);
      expect(maxValue).toBeGreaterThan(binMin! * (1 - 2 ** -11));
      expect(maxValue).toBeLessThanOrEqual(binMax! * (1 + 2 ** -11));
      // Values that ship are rounded after they were counted: one at an edge may have been on its other side.
      const inside = all.filter((z) => z > binMin! && z <= binMax!).length;
      expect(Math.abs(binContains! * all.length - inside)).toBeLessThanOrEqual(2);
    }
    const [, , greek] = lines(join(out, 'explanations/batch-0.jsonl.gz'));
    expect(greek).toMatchObject({
      index: String(GREEK),
      description: 'Greek, mostly at epsilon',
      typeName: 'human',
    });
    // Nothing is written over.
    const again = await saekit(['features', 'export', run, out]);
    expect([again.status, again.stderr]).toEqual([2, expect.stringContaining('exists already')]);
  });

  it("writes what OpenAI's viewer reads: moments over all tokens, counts by activation, passages", async () => {
    const out = join(work, 'viewer');
    await library.exportFeatures(
      library.exportFeaturesConfigSchema.parse({ run, out, to: 'openai-viewer', latents: [PLAIN] }),
    );
    expect(readdirSync(join(out, 'atoms'))).toEqual([`${PLAIN}.json`]);
    const atom = JSON.parse(readFileSync(join(out, `atoms/${PLAIN}.json`), 'utf8'));
    const { values } = await tables.activations(PLAIN);
    const { tokens } = tables.manifest;
    const mean = (power: number) => values.reduce((sum, z) => sum + z ** power, 0) / tokens;
    expect(atom.density).toBeCloseTo(values.length / tokens, 12);
    // Activations in the tables that ship are rounded to 12 bits; the moments were taken before.
    expect(Math.abs(atom.mean_act / mean(1) - 1)).toBeLessThan(2 ** -12);
    expect(Math.abs(atom.mean_act_squared / mean(2) - 1)).toBeLessThan(2 ** -11);
    expect(Object.values(atom.hist as Record<string, number>).reduce((a, b) => a + b)).toBe(values.length);
    for (const { acts, idx, act, tokens: own, token_ints: ids } of atom.top) {
      expect(acts[idx]).toBe(act);
      expect([own.length, ids.length]).toEqual([acts.length, acts.length]);
    }
    expect(atom.top[0].act).toBe(Math.max(...values));
  });

  it('refuses a run without tables, and leaves nothing', async () => {
    const out = join(work, 'none');
    const config = { run: early.folder, out };
    await expect(library.exportFeatures(library.exportFeaturesConfigSchema.parse(config))).rejects.toThrow(
      'saekit index',
    );
    expect(existsSync(out)).toBe(false);
  });
});

describe('import', () => {
  const LAYER = Number(/^blocks\.(\d+)\./.exec(LATE)![1]);
  const place = { modelId: 'model', layer: `${LAYER}-res-jb` };
  const write = (name: string, rows: readonly unknown[]): string => {
    const path = join(work, name);
    writeFileSync(path, gzipSync(rows.map((row) => `${JSON.stringify(row)}\n`).join('')));
    return path;
  };
  const fresh = (name: string): string => {
    const folder = join(work, name);
    cpSync(late.folder, folder, { recursive: true });
    writeFileSync(join(folder, 'labels.jsonl'), LABELS);
    for (const file of ['index.json', 'cards.json']) rmSync(join(folder, 'features', file));
    return folder;
  };
  const parse = library.importFeaturesConfigSchema.parse;

  it('puts labels beside latents, marked as imported; those of people stay', async () => {
    const folder = fresh('labels');
    const before = readFileSync(join(folder, 'labels.jsonl'), 'utf8');
    const named = { ...place, typeName: 'oai_token-act-pair', explanationModelName: 'gpt-4o-mini' };
    const file = write('explanations.jsonl.gz', [
      { ...named, index: '7', description: ' month names ', authorId: 'x' },
      { ...named, index: String(GREEK), description: 'something else' },
      { ...named, index: '8', description: '' },
    ]);
    const whole = await saekit(['features', 'import', folder, file]);
    expect([whole.status, whole.stderr]).toEqual([2, expect.stringContaining('add --partial')]);
    const { status, stdout } = await saekit(['features', 'import', folder, file, '--partial']);
    expect([status, stdout]).toEqual([
      0,
      expect.stringContaining('1 labels (1 latents kept theirs), 0 cards'),
    ]);
    const after = readFileSync(join(folder, 'labels.jsonl'), 'utf8');
    expect(after.startsWith(before)).toBe(true);
    expect(JSON.parse(after.slice(before.length))).toEqual({
      ...{ latent: 7, label: 'month names', origin: 'imported' },
      checked: `imported from Neuronpedia model/${LAYER}-res-jb (oai_token-act-pair, gpt-4o-mini)`,
    });
    await library.importFeatures(parse({ run: folder, files: [file], replace: true, partial: true }));
    expect(readFileSync(join(folder, 'labels.jsonl'), 'utf8')).toContain('"label":"something else"');
  });

  it('makes cards of whole dashboards, those of several sources when one is chosen', async () => {
    const folder = fresh('cards');
    const file = write('batch-0.jsonl.gz', [
      { ...place, index: '5', frac_nonzero: 0.01, maxActApprox: 9, pos_str: [' a'], pos_values: [0.5] },
      { ...place, index: '5', tokens: ['x', ' y', 'z'], values: [0, 2, 1], maxValueTokenIndex: 1 },
      { ...place, index: '5', tokens: ['u', 'v'], values: [9, 0] },
      { ...place, layer: 'other', index: '6', frac_nonzero: 1 },
    ]);
    await expect(library.importFeatures(parse({ run: folder, files: [file] }))).rejects.toThrow(
      `rows of model/${place.layer} and of model/other`,
    );
    const result = await library.importFeatures(
      parse({ run: folder, files: [file], source: place.layer, partial: true }),
    );
    expect(result).toEqual({ labels: 0, kept: 0, cards: 1 });
    const { cards, notes } = JSON.parse(readFileSync(join(folder, 'features/cards.json'), 'utf8'));
    expect(notes.join()).toContain('Imported from Neuronpedia');
    expect(cards).toEqual([
      expect.objectContaining({
        ...{ latent: 5, density: 0.01, passages: 2, guess: '"u", "y"' },
        raises: [{ token: ' a', id: -1, effect: 0.5 }],
        examples: [
          expect.objectContaining({ left: [], peak: 'u', right: ['v'], value: 9 }),
          expect.objectContaining({ left: ['x'], peak: ' y', right: ['z'], value: 2 }),
        ],
      }),
    ]);
  });

  it('reads what export wrote', async () => {
    const folder = fresh('round');
    rmSync(join(folder, 'labels.jsonl'));
    const out = join(work, 'round-trip');
    await library.exportFeatures(library.exportFeaturesConfigSchema.parse({ run, out, latents: LATENTS }));
    const { labels, cards } = await library.importFeatures(
      parse({ run: folder, files: [out], partial: true }),
    );
    expect([labels, cards]).toEqual([3, 3]);
    const { cards: read } = JSON.parse(readFileSync(join(folder, 'features/cards.json'), 'utf8'));
    const row = await tables.latent(BRAND);
    const card = read.find(({ latent }: { latent: number }) => latent === BRAND);
    expect(card.density).toBe(row.density);
    expect(card.examples[0].value).toBeCloseTo(row.max, 5);
  });

  const labelled = (latents: readonly number[], more: object = {}) =>
    latents.flatMap((latent) => [
      { ...place, index: String(latent), description: 'one', ...more },
      { ...place, index: String(latent), description: 'another', ...more },
    ]);
  const upTo = (n: number, step = 1) => Array.from({ length: n }, (_, i) => i * step);

  it('takes explanations of most latents, several of one or none; of a model with another name when it is told so', async () => {
    const folder = fresh('most');
    const rng = createRng('most latents');
    const some = upTo(late.F).filter(() => rng.uniform() < 0.7);
    const file = write('most.jsonl.gz', labelled(some));
    const { labels, kept } = await library.importFeatures(parse({ run: folder, files: [file] }));
    expect(labels + kept).toBe(some.length);
    expect(readFileSync(join(folder, 'labels.jsonl'), 'utf8')).not.toContain('"label":"one"');
    const other = write('other.jsonl.gz', labelled(some, { modelId: 'toy-4l' }));
    await expect(library.importFeatures(parse({ run: folder, files: [other] }))).rejects.toThrow(
      'add --model-id toy-4l',
    );
    const named = parse({ run: folder, files: [other], modelId: 'toy-4l' });
    expect(await library.importFeatures(named)).toMatchObject({ labels: 0, kept: some.length });
  });

  it.each([
    [
      'an index that the SAE does not have',
      [{ ...place, index: String(late.F), description: 'x' }],
      `has latents 0 to ${late.F - 1}`,
    ],
    [
      'another hook',
      [{ ...place, index: '1', hookName: 'blocks.6.hook_resid_pre', frac_nonzero: 0 }],
      'of hook blocks.6.hook_resid_pre',
    ],
    [
      'values that are not as many',
      [{ ...place, index: '1', tokens: ['a'], values: [1, 2] }],
      '1 tokens, 2 values',
    ],
    ['a field of another type', [{ ...place, index: '1', description: 7 }], 'line 1: description'],
    [
      'a place beyond its tokens',
      [{ ...place, index: '1', tokens: ['a', 'b'], values: [1, 2], maxValueTokenIndex: 5 }],
      'maxValueTokenIndex: 5, expected a place in the 2 tokens',
    ],
    ['no index', [{ ...place, index: null, description: 'x' }], 'line 1: index: expected the number'],
    ['labels of a quarter', labelled(upTo(late.F / 4)), `rows of ${late.F / 4} latents`],
    ['every third latent', labelled(upTo(late.F / 3, 3)), 'it is another SAE, or a part'],
    [
      'dashboards that end early',
      upTo(Math.round(late.F * 0.61)).map((i) => ({ ...place, index: i, hookName: LATE })),
      'it is another SAE, or a part',
    ],
    ['all but the last few', labelled(upTo(late.F - 6)), `the last ${late.F - 7}, but the SAE`],
    ['another model', labelled(upTo(late.F), { modelId: 'gpt2-small' }), 'of the model gpt2-small'],
    ['another layer', labelled(upTo(late.F), { layer: `${LAYER + 3}-res-jb` }), `reads ${LATE}`],
    ['another place in the layer', labelled(upTo(late.F), { layer: `${LAYER}-mlp-oai` }), `reads ${LATE}`],
  ])('refuses %s, and writes nothing', async (name, rows, message) => {
    const folder = fresh(name);
    const before = readFileSync(join(folder, 'labels.jsonl'), 'utf8');
    const file = write('wrong.jsonl.gz', rows);
    await expect(library.importFeatures(parse({ run: folder, files: [file] }))).rejects.toThrow(message);
    expect(readFileSync(join(folder, 'labels.jsonl'), 'utf8')).toBe(before);
    expect(existsSync(join(folder, 'features/cards.json'))).toBe(false);
  });

  it('refuses what is no export', async () => {
    const path = join(work, 'text.jsonl');
    writeFileSync(path, 'not json\n');
    await expect(library.importFeatures(parse({ run, files: [path] }))).rejects.toThrow('line 1: no JSON');
    writeFileSync(`${path}.gz`, 'not gzip');
    await expect(library.importFeatures(parse({ run, files: [`${path}.gz`] }))).rejects.toThrow(
      'no whole gzip',
    );
    await expect(library.importFeatures(parse({ run, files: [join(work, 'no')] }))).rejects.toThrow(
      'no such file',
    );
  });
});
