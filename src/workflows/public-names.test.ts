import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { late } from '../../test/support/demo.ts';
import { type Run, runSchema } from '../shared/run.ts';
import { createPublic, hubNames } from './public-names.ts';

const demo = runSchema.parse(JSON.parse(readFileSync(join(late.folder, 'run.json'), 'utf8')));
const COMMIT = 'ab'.repeat(20);
const file = (path: string) => ({ path, bytes: 1, sha256: 'x', documents: 1 });
/** A run on this model and these data files; `hub` when the model came from there. */
const runOn = (model: string, data: readonly string[], hub: boolean): Run => ({
  ...demo,
  provenance: {
    ...demo.provenance,
    model: { ...demo.provenance.model!, name: model, ...(hub ? { commit: COMMIT } : {}) },
    data: data.map(file),
  },
});

it('keeps names of the hub with all that is written behind them', () => {
  const run = runOn('org/model', [`lab/set@${COMMIT}/data/train.parquet`, '/srv/me/own.jsonl'], true);
  expect(hubNames(run.provenance)).toEqual({ model: 'org/model', data: ['lab/set'] });
  const names = [
    'org/model',
    'org/model@main',
    'lab/set:config/train#text=0.5',
    `lab/set@${COMMIT}/data/train.parquet`,
    'https://example.org/a/schema.json',
  ];
  expect(createPublic(run)(names)).toEqual(names);
});

it('leaves of a local path its last part, also one that looks like a name of the hub', () => {
  const run = runOn('org/model', ['org/texts/a.jsonl'], false);
  for (const [text, expected] of [
    ['org/model', 'model'],
    ['/srv/me/models/tiny/', 'tiny'],
    ['~/texts', 'texts'],
    ['../x/my texts/a.jsonl', 'a.jsonl'],
    ['C:\\Users\\me\\texts', 'texts'],
    ['texts/=0.25', 'texts=0.25'],
    ['/data/b.parquet#body=1', 'b.parquet#body=1'],
    [
      'held-out files: /srv/me/a.txt, b.txt, ../c d/e.txt; 3 near',
      'held-out files: a.txt, b.txt, e.txt; 3 near',
    ],
    ['file:///srv/me/schema.json', 'schema.json'],
    ['../..', 'local'],
    ['a.jsonl', 'a.jsonl'],
    ['1 document in 20 held out, by sha256 of its text', '1 document in 20 held out, by sha256 of its text'],
  ])
    expect(createPublic(run)(text)).toBe(expected);
});

it('leaves what is no path alone', () => {
  const { config, seeds } = { ...demo, config: { ...demo.config, textField: 'a/b', roles: ['x/y'] } };
  const { data: _, heldout: __, model: ___, ...rest } = config;
  expect(createPublic(demo)({ ...rest, seeds })).toEqual({ ...rest, seeds });
});

it('takes a name without a run for one of the hub unless it is a path here', () => {
  const toPublic = createPublic();
  const folder = mkdtempSync(join(tmpdir(), 'saekit-public-'));
  expect(toPublic(['openai-community/gpt2', 'gpt2', 'demo/model', folder, 'a/b/c'])).toEqual([
    'openai-community/gpt2',
    'gpt2',
    'model',
    expect.not.stringContaining('/'),
    'c',
  ]);
  rmSync(folder, { recursive: true });
});

it('never lets a folder through, whatever the path', () => {
  const part = fc.stringMatching(/^[a-zA-Z0-9 ._=#@-]{1,12}$/);
  const toPublic = createPublic(runOn('org/model', [], true));
  fc.assert(
    fc.property(
      fc.array(part, { minLength: 1, maxLength: 5 }),
      fc.constantFrom('/', '\\'),
      (parts, slash) => {
        const path = [...(slash === '/' ? [''] : ['C:']), 'SECRET', ...parts].join(slash);
        expect(toPublic({ deep: [path] }).deep[0]).not.toMatch(/SECRET[\\/]|[\\/]/);
      },
    ),
  );
});
