// Data sets from a hub of the tests' own, through the corpus that training reads.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { sha256, startHub, type TestHub } from '../../test/fixtures/hub.ts';
import { root } from '../../test/repository.ts';
import type { memoryDocuments } from '../data/documents.ts';
import { openCorpus, packRows } from '../data/index.ts';

const golden = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(join(root, 'test', 'golden', 'data', name)));
const lines = (words: readonly string[]): string => words.map((text) => JSON.stringify({ text })).join('\n');
const GROUPED = golden('grouped.parquet');

let home: string;
let hub: TestHub;

beforeAll(async () => {
  hub = await startHub(
    {
      'datasets/tiny/plain': {
        files: {
          'README.md': '# about',
          'data/train-00000-of-00002.jsonl': lines(['one', 'two']),
          'data/train-00001-of-00002.jsonl': lines(['three']),
          'data/test-00000-of-00001.jsonl': lines(['four', 'five']),
        },
      },
      'datasets/tiny/carded': {
        card: {
          configs: [
            {
              config_name: 'english',
              data_files: [
                { split: 'train', path: 'en/part-*' },
                { split: 'dev', path: ['en/dev.jsonl'] },
              ],
            },
            { config_name: 'german', data_files: 'de/**' },
          ],
        },
        files: {
          'en/part-0.jsonl': lines(['a', 'b']),
          'en/dev.jsonl': lines(['c']),
          'de/deep/er.jsonl': lines(['d']),
          'unused.jsonl': lines(['never']),
        },
      },
      'datasets/tiny/table': { files: { 'train.parquet': golden('snappy.parquet') } },
      'datasets/tiny/scripted': {
        files: { 'script.py': 'print(1)', 'raw.zip': 'x' },
        branches: {
          'refs/convert/parquet': {
            'first/train/0000.parquet': golden('zstd.parquet'),
            'second/partial-train/0000.parquet': golden('gzip.parquet'),
          },
        },
      },
      'datasets/tiny/images': { files: { 'a.png': 'x' } },
    },
    { pageSize: 3 },
  );
});
afterAll(() => hub.close());
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'saekit-hub-'));
  vi.stubEnv('HF_HOME', home);
  vi.stubEnv('HF_ENDPOINT', hub.url);
  for (const name of ['HF_HUB_OFFLINE', 'HF_HUB_CACHE', 'HF_TOKEN', 'HTTP_PROXY', 'http_proxy'])
    vi.stubEnv(name, '');
  hub.seen.length = 0;
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(home, { recursive: true, force: true });
});

async function texts(
  data: string,
  options: Partial<Parameters<typeof openCorpus>[0]> = {},
): Promise<string[]> {
  const corpus = await openCorpus({ data: [data], ...options });
  try {
    const out: string[] = [];
    for (const set of [corpus.train, corpus.heldout])
      for (let i = 0; i < set.count; i++) out.push((await set.get(i)).text);
    return out.sort();
  } finally {
    await corpus.close();
  }
}
const messageOf = async (promise: Promise<unknown>): Promise<string> =>
  await promise.then(
    () => 'no error',
    (error: Error) => error.message,
  );

describe('a data set of the hub', () => {
  it('is its train split by the names of its files, when the card says nothing', async () => {
    expect(await texts('tiny/plain')).toEqual(['one', 'three', 'two']);
    expect(await texts('tiny/plain:test')).toEqual(['five', 'four']);
    expect(await texts('tiny/plain:default/test')).toEqual(['five', 'four']);
  });

  it('is what the card says, when it does', async () => {
    expect(await texts('tiny/carded:english')).toEqual(['a', 'b']);
    expect(await texts('tiny/carded:english/dev')).toEqual(['c']);
    expect(await texts('tiny/carded:german')).toEqual(['d']);
  });

  it('is read from Parquet that the hub has made, when it has no files of its own that can be read', async () => {
    const expected = (
      JSON.parse(readFileSync(join(root, 'test', 'golden', 'data', 'rows.json'), 'utf8')) as {
        text: string;
      }[]
    ).map(({ text }) => text);
    expect(await texts('tiny/scripted:first')).toEqual(expected.sort());
    const notes: string[] = [];
    await texts('tiny/scripted:second', { onNote: (text) => notes.push(text) });
    expect(notes.join()).toMatch(/first part/);
  });

  it('is mixed with others, and its column is named after #', async () => {
    const corpus = await openCorpus({ data: ['tiny/plain=0.5', 'tiny/table#text=0.5'] });
    expect(corpus.mixture?.map(({ weight }) => weight)).toEqual([0.5, 0.5]);
    await corpus.close();
    expect(await messageOf(texts('tiny/table#txt'))).toMatch(/no column "txt"\. Did you mean text/);
  });

  it('is known by its commit in the record, and that commit can be asked for', async () => {
    Object.assign(hub.repos, { 'datasets/tiny/moving': { files: { 'train.jsonl': lines(['old']) } } });
    const first = await openCorpus({ data: ['tiny/moving'] });
    await first.close();
    const commit = hub.commitOf('datasets/tiny/moving');
    expect(first.files.map(({ origin, sha256: hash }) => [origin, hash])).toEqual([
      [`tiny/moving@${commit}/train.jsonl`, sha256(lines(['old']))],
    ]);
    Object.assign(hub.repos, {
      'datasets/tiny/moving': {
        files: { 'train.jsonl': lines(['new']) },
        branches: { old: { 'train.jsonl': lines(['old']) } },
      },
    });
    expect(await texts('tiny/moving')).toEqual(['new']);
    expect(await texts(`tiny/moving@${commit}`)).toEqual(['old']);
  });

  it('opens from the cache without the network', async () => {
    await texts('tiny/carded:english/dev');
    hub.seen.length = 0;
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    expect(await texts('tiny/carded:english/dev')).toEqual(['c']);
    expect(await messageOf(texts('tiny/carded:english'))).toMatch(
      /HF_HUB_OFFLINE is set.*not whole in the cache/,
    );
    expect(hub.seen).toEqual([]);
  });

  it('names what is near when something is missing', async () => {
    expect(await messageOf(texts('tiny/plian'))).toMatch(/no dataset tiny\/plian\. Did you mean tiny\/plain/);
    expect(await messageOf(texts('tiny/carded'))).toMatch(
      /2 configurations: english, german\. Name one, such as tiny\/carded:english/,
    );
    expect(await messageOf(texts('tiny/carded:englisch'))).toMatch(
      /no configuration "englisch"\. Did you mean english/,
    );
    expect(await messageOf(texts('tiny/carded:english/dve'))).toMatch(/no split "dve"\. Did you mean dev/);
    expect(await messageOf(texts('tiny/images'))).toMatch(
      /holds nothing that can be read .*a\.png.* made no Parquet/,
    );
    expect(await messageOf(texts('tiny/plain.jsonl'))).toMatch(/no such file, and no folder tiny/);
  });
});

describe('streamed Parquet', () => {
  const big = (): void => {
    Object.assign(hub.repos, {
      'datasets/tiny/big': {
        files: { 'data/train-0.parquet': GROUPED, 'data/train-1.parquet': GROUPED.slice() },
      },
    });
  };
  const cdnBytes = (): number =>
    hub.seen.filter(({ host }) => host === 'cdn').reduce((sum, { bytes }) => sum + bytes, 0);

  it('is not downloaded: of a file come its footer and the row groups that are read', async () => {
    big();
    hub.seen.length = 0;
    const { openRemote } = await import('./range.ts');
    const { connectHub } = await import('./connect.ts');
    const { openParquetDocuments } = await import('../data/parquet.ts');
    const commit = hub.commitOf('datasets/tiny/big');
    const id = { type: 'dataset', name: 'tiny/big', revision: 'main' } as const;
    const file = { path: 'data/train-0.parquet', size: GROUPED.length, hash: sha256(GROUPED) };
    const remote = openRemote(connectHub(), id, commit, file);
    const documents = await openParquetDocuments(remote, { name: 'big', column: 'text' });
    const footer = cdnBytes();
    const local = await openParquetDocuments(
      { byteLength: GROUPED.length, slice: async (start, end) => GROUPED.slice(start, end) },
      { name: 'local', column: 'text' },
    );
    expect(await documents.get(0)).toEqual({
      ...(await local.get(0)),
      id: expect.anything(),
      meta: expect.anything(),
    });
    const group = cdnBytes() - footer;
    expect(group).toBeGreaterThan(0);
    expect(group).toBeLessThan(GROUPED.length / 4);
    // The whole row group is here now.
    await documents.get(1);
    expect(cdnBytes()).toBe(footer + group);
    for (let i = 0; i < documents.count; i += 37)
      expect((await documents.get(i)).text).toBe((await local.get(i)).text);
  });

  it('is given to training without being downloaded, and a saved place continues the same rows', async () => {
    big();
    const open = (): ReturnType<typeof openCorpus> =>
      openCorpus({ data: ['tiny/big'], heldout: ['tiny/plain:test'], stream: true });
    const corpus = await open();
    expect(corpus.files.map(({ documents }) => documents > 0)).toEqual([true, true, true]);
    const tokenizer = {
      encode: (text: string) => [...text].map((c) => c.codePointAt(0)!),
      encodePrompt: () => [],
      decode: () => '',
      tokenStrings: () => [],
      vocabularySize: 0x110000,
      specialIds: new Set<number>(),
      bosTokenId: undefined,
    };
    const pack = (documents: ReturnType<typeof memoryDocuments>, cursor?: object) =>
      packRows({
        documents,
        tokenizer,
        contextLength: 64,
        bosTokenId: undefined,
        ...(cursor ? { cursor: cursor as never } : {}),
      });
    const rows = pack(corpus.train);
    await rows.next(5);
    const cursor = rows.cursor();
    const next = await rows.next(5);
    await corpus.close();
    expect(cdnBytes()).toBeLessThan(GROUPED.length * 2);
    const again = await open();
    expect((await pack(again.train, cursor).next(5))?.ids).toEqual(next?.ids);
    await again.close();
  });

  it('survives a connection that breaks in the middle of a row group', async () => {
    big();
    let broken = 0;
    hub.fault = ({ host, range }) =>
      host === 'cdn' && range && broken++ === 2 ? { breakAfter: 10 } : undefined;
    const corpus = await openCorpus({ data: ['tiny/big'], heldout: ['tiny/plain:test'], stream: true });
    expect((await corpus.train.get(0)).text.length).toBeGreaterThan(0);
    await corpus.close();
    hub.fault = () => undefined;
    expect(broken).toBeGreaterThan(2);
  });
});
