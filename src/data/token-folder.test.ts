import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { byteTokenizer } from '../../test/support/tokenizers.ts';
import { readSafetensors } from '../formats/index.ts';
import type { Tokenizer } from '../models/types.ts';
import { fromBytes } from '../platform/index.ts';
import { memoryDocuments } from './documents.ts';
import { openCorpus } from './node/corpus.ts';
import { writeTokenFolder } from './node/token-folder.ts';
import { type PackOptions, packRows, type RowSource } from './pack.ts';
import type { DocumentSet, PackedRows } from './types.ts';

const T = 16;
const tokenizer: Tokenizer = { ...byteTokenizer, hash: 'abc' };
const texts = Array.from({ length: 60 }, (_, i) => `document ${i} ${'xyz '.repeat(i % 9)}`);
const documents = memoryDocuments(texts);
const options = (set: DocumentSet, extra: Partial<PackOptions> = {}): PackOptions => ({
  documents: set,
  tokenizer,
  contextLength: T,
  bosTokenId: 1,
  seed: 5,
  ...extra,
});

let root = '';
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'saekit-test-'));
});
afterEach(() => rm(root, { recursive: true }));

async function write(name = 'tokens', extra: Partial<PackOptions> = {}, roles?: string[]): Promise<string> {
  const folder = join(root, name);
  const pack = (set: DocumentSet) => ({
    documents: set.count,
    rows: packRows(options(set, { ...extra, endless: false })),
  });
  await writeTokenFolder(
    folder,
    { train: pack(documents), heldout: pack(memoryDocuments(texts.slice(0, 7))) },
    {
      contextLength: extra.contextLength ?? T,
      bosTokenId: 1,
      tokenizer: { model: 'm', sha256: 'abc' },
      seed: '5',
      split: 'by hand',
      ...(roles ? { roles } : {}),
      sources: [{ path: 'texts', bytes: 1, sha256: 'x', documents: 60 }],
    },
  );
  return folder;
}

async function all(rows: RowSource, at = 7): Promise<PackedRows[]> {
  const out: PackedRows[] = [];
  for (let next = await rows.next(at); next; next = await rows.next(at)) out.push(next);
  return out;
}
const idsOf = (chunks: readonly PackedRows[]): number[][] =>
  chunks.flatMap(({ ids, R }) => Array.from({ length: R }, (_, r) => [...ids.subarray(r * T, (r + 1) * T)]));

test('the rows are those that packing on the fly gives, in the first pass of the same seed', async () => {
  const corpus = await openCorpus({ data: [await write()] });
  for (const [stored, text] of [
    [corpus.train, documents],
    [corpus.heldout, memoryDocuments(texts.slice(0, 7))],
  ] as const) {
    const expected = await all(packRows(options(text, { endless: false })));
    expect(await all(packRows(options(stored, { endless: false })))).toEqual(expected);
  }
  expect([corpus.train.count, corpus.heldout.count, corpus.split]).toEqual([60, 7, 'by hand']);
  expect(corpus.files.map(({ path }) => path)).toEqual(['texts']);
});

test('another seed and later passes: the same rows in another order', async () => {
  const corpus = await openCorpus({ data: [await write()] });
  const pass = async (extra: Partial<PackOptions>) =>
    idsOf(await all(packRows(options(corpus.train, { endless: false, ...extra }))));
  const first = await pass({});
  const other = await pass({ seed: 6 });
  expect(other).not.toEqual(first);
  expect(other.map(String).sort()).toEqual(first.map(String).sort());
  expect(await pass({ order: 'files', seed: 6 })).toEqual(first);
  await expect(pass({ order: Uint32Array.from({ length: 60 }, (_, i) => i) })).rejects.toThrow(
    'no other order',
  );
  const endless = packRows(options(corpus.train));
  const two = idsOf([(await endless.next(first.length))!, (await endless.next(first.length))!]);
  expect(two.slice(0, first.length)).toEqual(first);
  expect(two.slice(first.length)).not.toEqual(first);
  expect(two.slice(first.length).map(String).sort()).toEqual(first.map(String).sort());
  expect(endless.epochs).toBe(2);
});

test('a cursor taken anywhere continues with the same rows; another folder refuses it', async () => {
  const corpus = await openCorpus({ data: [await write()] });
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: 300 }),
      fc.integer({ min: 0, max: 6 }),
      async (before, seed) => {
        const one = packRows(options(corpus.train, { seed }));
        await one.next(before + 1);
        const cursor = JSON.parse(JSON.stringify(one.cursor()));
        const two = packRows(options(corpus.train, { seed, cursor }));
        expect(await two.next(90)).toEqual(await one.next(90));
      },
    ),
    { numRuns: 20 },
  );
  const { cursor } = packRows(options(corpus.heldout));
  expect(() => packRows(options(corpus.train, { cursor: cursor() }))).toThrow(/other data or settings/);
});

test('several shards are one sequence of rows', async () => {
  // 4 Mi positions per shard: with long rows of few tokens two shards are quickly full.
  const long = 2 ** 21;
  const many = join(root, 'many');
  let left = 5;
  const rows: RowSource = {
    ...packRows(options(documents)),
    T: long,
    next: async (wanted) => {
      const R = Math.min(wanted, left);
      left -= R;
      const size = R * long;
      const ids = new Int32Array(size).map((_, i) => (left + R - Math.floor(i / long)) * 10);
      const mask = new Uint8Array(size).fill(1);
      const none = new Int32Array(size);
      return R === 0 ? undefined : { R, T: long, ids, mask, documents: none, starts: none, ends: none };
    },
  };
  const manifest = await writeTokenFolder(
    many,
    { train: { rows, documents: 1 }, heldout: undefined },
    {
      contextLength: long,
      bosTokenId: null,
      tokenizer: { model: 'm', sha256: 'abc' },
      seed: '5',
      split: '',
      sources: [],
    },
  );
  expect(manifest.train.shards.map((shard) => shard.rows)).toEqual([2, 2, 1]);
  expect(manifest.train.tokens).toBe(5 * long);
  const corpus = await openCorpus({ data: [many] });
  const again = packRows(
    options(corpus.train, { contextLength: long, bosTokenId: undefined, endless: false }),
  );
  const first = await all(again, 1);
  expect(first.map(({ ids }) => ids[long - 1])).toEqual([50, 40, 30, 20, 10]);
});

test('folders are mixed by weight, each with its own place; text and rows are not mixed', async () => {
  const [a, b] = [await write('a'), await write('b')];
  const corpus = await openCorpus({ data: [`${a}=0.75`, `${b}=0.25`] });
  expect(corpus.mixture!.map(({ weight }) => weight)).toEqual([0.75, 0.25]);
  expect(corpus.heldout.count).toBe(14);
  const held = await all(packRows(options(corpus.heldout, { endless: false, order: 'files' })));
  expect(Math.max(...held.flatMap(({ documents: owners }) => [...owners]))).toBe(13);
  await writeFile(join(root, 'c.txt'), 'text');
  await expect(openCorpus({ data: [a, join(root, 'c.txt')] })).rejects.toThrow(
    /holds packed rows, and .*c\.txt does not/,
  );
  await expect(openCorpus({ data: [a], heldout: [join(root, 'c.txt')] })).rejects.toThrow(
    /Leave --heldout out/,
  );
});

test('what was packed differently is refused: length, BOS, tokenizer', async () => {
  const corpus = await openCorpus({ data: [await write()] });
  const open = (extra: Partial<PackOptions>) => () => packRows(options(corpus.train, extra));
  expect(open({ contextLength: 32 })).toThrow(
    /rows of 16 positions, and 32 are asked for. Use --context-length 16/,
  );
  expect(open({ bosTokenId: undefined })).toThrow(/packed with BOS 1, and this model has none/);
  expect(open({ tokenizer: { ...tokenizer, hash: 'other' } })).toThrow(
    /tokens was tokenized with another tokenizer.*sha256 abc.*this model's other/,
  );
  const other = await write('other', { contextLength: 32 });
  await expect(openCorpus({ data: [join(root, 'tokens'), other] })).rejects.toThrow(
    /not packed alike: context length 32 and 16/,
  );
});

test('a damaged or missing shard is named; a folder that is there is not overwritten; nothing is left half-written', async () => {
  const folder = await write();
  await expect(write()).rejects.toThrow(/tokens is there already/);
  const path = join(folder, 'train-00000.safetensors');
  const bytes = await readFile(path);
  const file = await readSafetensors(fromBytes(new Uint8Array(bytes)));
  expect(file.tensors.get('ids')).toMatchObject({ dtype: 'I32' });
  bytes[bytes.length - 1]! ^= 1;
  await writeFile(path, bytes);
  const rows = () => openCorpus({ data: [folder] }).then(({ train }) => packRows(options(train)).next(1));
  await expect(rows()).rejects.toThrow(/train-00000\.safetensors: wrong checksum/);
  await rm(path);
  await expect(rows()).rejects.toThrow(/train-00000\.safetensors: .*not whole/);
  await writeFile(join(folder, 'manifest.json'), '{"format": "saekit tokens"}');
  await expect(rows()).rejects.toThrow(/manifest\.json cannot be read/);
  const endless = { documents: 60, rows: packRows(options(documents)) };
  await expect(
    writeTokenFolder(
      join(root, 'stopped'),
      { train: endless, heldout: undefined },
      {
        contextLength: T,
        bosTokenId: 1,
        tokenizer: { model: '', sha256: '' },
        seed: '',
        split: '',
        sources: [],
      },
      { signal: AbortSignal.timeout(50) },
    ),
  ).rejects.toThrow(/timeout/);
  expect((await readdir(root)).filter((name) => name.startsWith('stopped'))).toEqual([]);
});

test('rows of roles keep what is trained on', async () => {
  const chats: DocumentSet = {
    ...documents,
    get: async (i) => ({ ...(await documents.get(i)), keep: [{ start: 0, end: 8 }] }),
  };
  const folder = join(root, 'roles');
  const pack = () => packRows(options(chats, { endless: false }));
  await writeTokenFolder(
    folder,
    { train: { rows: pack(), documents: 60 }, heldout: undefined },
    {
      contextLength: T,
      bosTokenId: 1,
      tokenizer: { model: 'm', sha256: 'abc' },
      seed: '5',
      split: '',
      roles: ['assistant'],
      sources: [],
    },
  );
  const corpus = await openCorpus({ data: [folder] });
  const stored = await all(packRows(options(corpus.train, { endless: false })));
  expect(stored).toEqual(await all(pack()));
  expect(stored[0]!.keep!.reduce((a, b) => a + b)).toBeGreaterThan(10);
});
