// Globs against what Python's fnmatch-like patterns of the datasets library match, and the files of known repositories.
import { describe, expect, it } from 'vitest';
import { chooseFiles, globRegExp, layoutOf } from './layout.ts';

const files = (...paths: string[]) => paths.map((path) => ({ path, size: 1, hash: '' }));
const pathsOf = (layout: ReturnType<typeof layoutOf>) =>
  Object.fromEntries(
    [...layout].map(([config, splits]) => [
      config,
      Object.fromEntries([...splits].map(([split, list]) => [split, list.map(({ path }) => path)])),
    ]),
  );

describe('patterns of a card', () => {
  it.each([
    [
      'data/train-*',
      ['data/train-0.parquet', 'data/train-.x'],
      ['data/test-0', 'x/data/train-0', 'data/deep/train-0'],
    ],
    ['**/*.csv', ['a.csv', 'b/c.csv', 'b/c/d.csv'], ['a.csv.gz']],
    ['sub', ['sub', 'sub/a', 'sub/b/c'], ['subway', 'a/sub']],
    ['p[0-9].txt', ['p3.txt'], ['pa.txt', 'p33.txt']],
    ['{a,b}/?.x', ['a/1.x', 'b/2.x'], ['c/1.x', 'a/12.x']],
    ['a+b(1).txt', ['a+b(1).txt'], ['aab1.txt']],
  ])('%s', (pattern, yes, no) => {
    const expression = globRegExp(pattern);
    for (const path of yes) expect([path, expression.test(path)]).toEqual([path, true]);
    for (const path of no) expect([path, expression.test(path)]).toEqual([path, false]);
  });
});

describe('the layout of a repository', () => {
  it('goes by the words of splits in folders and names, and leaves words inside words alone', () => {
    const layout = layoutOf(
      files(
        'train.csv',
        'valid/a.csv',
        'my-test-set.csv',
        'contest.csv',
        'constraint.csv',
        'README.md',
        '.hidden.csv',
      ),
      {},
    );
    expect(pathsOf(layout)).toEqual({
      default: {
        train: ['constraint.csv', 'contest.csv', 'train.csv'],
        validation: ['valid/a.csv'],
        test: ['my-test-set.csv'],
      },
    });
  });

  it('takes the kind that has the most files', () => {
    expect(pathsOf(layoutOf(files('a.parquet', 'b.parquet', 'requirements.txt'), {}))).toEqual({
      default: { train: ['a.parquet', 'b.parquet'] },
    });
  });

  it('reads every form of data_files', () => {
    const all = files('x/a.jsonl', 'x/b.jsonl', 'y/c.jsonl');
    const configs = [
      { config_name: 'text', data_files: 'x/a.jsonl' },
      { config_name: 'list', data_files: ['x/a.jsonl', 'y/*'] },
      { config_name: 'map', data_files: { train: 'x/*', test: ['y/c.jsonl'] } },
      { config_name: 'folder', data_dir: 'y' },
      { config_name: 'inner', data_dir: 'x', data_files: 'b.jsonl' },
      { config_name: 'gone', data_files: 'z/*' },
    ];
    expect(pathsOf(layoutOf(all, { configs }))).toEqual({
      text: { train: ['x/a.jsonl'] },
      list: { train: ['x/a.jsonl', 'y/c.jsonl'] },
      map: { train: ['x/a.jsonl', 'x/b.jsonl'], test: ['y/c.jsonl'] },
      folder: { train: ['y/c.jsonl'] },
      inner: { train: ['x/b.jsonl'] },
    });
  });

  it('prefers the configuration called default and the split called train', () => {
    const layout = layoutOf(files('a/train.csv', 'a/test.csv', 'b/train.csv'), {
      configs: [
        { config_name: 'other', data_dir: 'b' },
        { config_name: 'default', data_dir: 'a' },
      ],
    });
    const {
      config,
      split,
      files: chosen,
    } = chooseFiles('o/n', layout, { config: undefined, split: undefined });
    expect([config, split, chosen.map(({ path }) => path)]).toEqual(['default', 'train', ['a/train.csv']]);
  });
});
