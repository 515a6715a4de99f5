import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type CorpusOptions, openCorpus } from './node/corpus.ts';
import type { Document, DocumentSet } from './types.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'saekit-test-'));
});
afterEach(() => {
  vi.unstubAllEnvs();
  return rm(folder, { recursive: true });
});

async function put(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(folder, name);
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(path, content);
  return path;
}
async function all(set: DocumentSet): Promise<Document[]> {
  return await Promise.all(Array.from({ length: set.count }, (_, i) => set.get(i)));
}
async function open(
  options: CorpusOptions,
): Promise<{ train: Document[]; heldout: Document[]; files: string[] }> {
  const corpus = await openCorpus(options);
  const result = {
    train: await all(corpus.train),
    heldout: await all(corpus.heldout),
    files: corpus.files.map(({ sha256 }) => sha256),
  };
  await corpus.close();
  return result;
}
const lines = (texts: readonly string[]): string =>
  texts.map((text) => `${JSON.stringify({ text })}\n`).join('');

test('JSONL: known fields, everything else in meta, blank lines and a missing last newline are fine', async () => {
  const path = await put(
    'a.jsonl',
    `\ufeff{"text":"Ünï 😀","id":7,"register":"code","year":1800,"meta":{"x":1},"spans":[{"start":0,"end":3,"label":"w","value":"v"}]}\r\n\n{"text":"second"}`,
  );
  const { train, heldout } = await open({ data: [path] });
  const documents = [...train, ...heldout].sort((a, b) => (a.id < b.id ? -1 : 1));
  expect(documents).toEqual(
    [
      { id: 'a.jsonl:3', text: 'second', meta: { file: 'a.jsonl' } },
      {
        id: '7',
        text: 'Ünï 😀',
        register: 'code',
        meta: { year: 1800, x: 1, file: 'a.jsonl' },
        spans: [{ start: 0, end: 3, label: 'w', value: 'v' }],
      },
    ].sort((a, b) => (a.id < b.id ? -1 : 1)),
  );
});

test('folders are searched to the bottom, gzip or not, each file once, with their sha256', async () => {
  await put('in/b.txt', 'bee');
  await put('in/deep/c.jsonl.gz', gzipSync(lines(['cee', 'dee'])));
  await put('in/.hidden.txt', 'no');
  await put('in/picture.png', 'no');
  await symlink(join(folder, 'in/b.txt'), join(folder, 'in/again.txt'));
  await symlink(join(folder, 'in'), join(folder, 'in/loop'));
  // A temporary folder of its own: other tests use the machine's at the same time.
  const temporary = join(folder, 'temporary');
  await mkdir(temporary);
  for (const name of ['TMPDIR', 'TEMP', 'TMP']) vi.stubEnv(name, temporary);
  const { train, heldout, files } = await open({ data: [join(folder, 'in')] });
  expect([...train, ...heldout].map(({ text }) => text).sort()).toEqual(['bee', 'cee', 'dee']);
  expect(files).toContain(createHash('sha256').update('bee').digest('hex'));
  expect(await readdir(temporary)).toEqual([]);
});

test('the split: about one in twenty, by text alone, whatever the file or order', async () => {
  const texts = Array.from({ length: 2000 }, (_, i) => `document number ${i}`);
  const one = await open({ data: [await put('one.jsonl', lines(texts))] });
  expect(one.heldout.length).toBeGreaterThan(60);
  expect(one.heldout.length).toBeLessThan(140);
  const half = texts.slice(500).reverse();
  const two = await open({ data: [await put('two.jsonl', lines([...half, ...half]))] });
  const heldFirst = new Set(one.heldout.map(({ text }) => text));
  for (const { text } of two.heldout) expect(heldFirst.has(text)).toBe(true);
  for (const { text } of two.train) expect(heldFirst.has(text)).toBe(false);
  // The rule in words, by hand: first 8 hex digits of sha256, multiple of 20.
  for (const { text } of one.heldout) {
    const hash = Number.parseInt(createHash('sha256').update(text).digest('hex').slice(0, 8), 16);
    expect(hash % 20).toBe(0);
  }
});

test('with few documents one is held out all the same; named held-out files replace the split', async () => {
  const data = [await put('few.jsonl', lines(['a', 'b', 'c']))];
  const few = await open({ data });
  expect([few.train.length, few.heldout.length]).toEqual([2, 1]);
  const heldout = [await put('test.jsonl', lines(['b', 'z']))];
  const corpus = await openCorpus({ data, heldout });
  expect((await all(corpus.train)).map(({ text }) => text)).toEqual(['a', 'c']);
  expect((await all(corpus.heldout)).map(({ text }) => text)).toEqual(['b', 'z']);
  expect(corpus.duplicates).toBe(1);
  expect(corpus.train.fingerprint).not.toBe(corpus.heldout.fingerprint);
  await corpus.close();
});

test('more files than may stay open are read in any order', async () => {
  for (let i = 0; i < 90; i++) await put(`many/${i}.txt`, `text ${i}`);
  const { train, heldout } = await open({ data: [join(folder, 'many')] });
  expect(train.length + heldout.length).toBe(90);
});

describe('errors say where and what to do', () => {
  const fails = async (options: CorpusOptions, ...patterns: RegExp[]): Promise<void> => {
    const error = await openCorpus(options).then(
      () => undefined,
      (e: Error) => e,
    );
    for (const pattern of patterns) expect(error?.message).toMatch(pattern);
  };
  test('a missing file offers the nearest names', async () => {
    await put('corpus.jsonl', lines(['a']));
    await fails({ data: [join(folder, 'corpsu.jsonl')] }, /no such file/, /Did you mean .*corpus\.jsonl/);
    await fails({ data: [join(folder, 'no/where.txt')] }, /no folder/);
  });
  test('a folder without data files says what it holds', async () => {
    await put('pics/a.png', 'x');
    await fails({ data: [join(folder, 'pics')] }, /it holds a\.png/, /\.jsonl/);
  });
  test('a line without the text field names line and fields', async () => {
    const path = await put('q.jsonl', `{"text":"ok"}\n{"question":"?","answer":"!"}\n`);
    await fails({ data: [path] }, /q\.jsonl line 2/, /no field "text"/, /question, answer/, /--text-field/);
    expect(
      (await open({ data: [await put('r.jsonl', '{"question":"?"}')], textField: 'question' })).train.length,
    ).toBe(1);
  });
  test('a line that is not JSON, and a JSON list on one line', async () => {
    await fails({ data: [await put('x.jsonl', 'hello\n')] }, /x\.jsonl line 1: not JSON/);
    await fails({ data: [await put('y.jsonl', '[{"text":"a"}]\n')] }, /found a list/);
    await fails({ data: [await put('z.json', '[]')] }, /\.jsonl/);
  });
  test('spans outside the text', async () => {
    const path = await put('s.jsonl', `{"text":"abc","spans":[{"start":1,"end":9,"label":"x"}]}`);
    await fails({ data: [path] }, /line 1: spans\[0\]/, /3 characters/);
  });
  test('text that is not UTF-8, with its place', async () => {
    await fails(
      { data: [await put('latin.txt', Uint8Array.of(0x61, 0xe9, 0x62))] },
      /latin\.txt, at byte 0: not UTF-8/,
    );
    const line = Buffer.concat([
      Buffer.from('{"text":"a"}\n{"text":"'),
      Buffer.of(0xe9),
      Buffer.from('"}\n'),
    ]);
    await fails({ data: [await put('latin.jsonl', line)] }, /latin\.jsonl line 2: not UTF-8/);
    await fails({ data: [await put('packed.txt', gzipSync('abc'))] }, /begins like a gzip file/);
  });
  test('damaged gzip', async () => {
    const whole = gzipSync(lines(Array.from({ length: 999 }, (_, i) => `text ${i * 7919}`)));
    await fails(
      { data: [await put('t.jsonl.gz', whole.subarray(0, whole.length >> 1))] },
      /damaged or truncated gzip/,
    );
    await fails({ data: [await put('u.txt.gz', 'plain')] }, /damaged or truncated gzip/);
  });
  test('an empty corpus', async () => {
    await fails({ data: [await put('empty.txt', ' \n')] }, /corpus is empty/, /empty\.txt \(2 bytes\)/);
    await fails({ data: [] }, /No data was named/);
  });
});

const shared = fileURLToPath(new URL('../../../shared/data/text', import.meta.url));
test.skipIf(!existsSync(shared))(
  'real text from ../shared/data (skipped when missing): GSM8K lines, State of the Union files, WikiText',
  async () => {
    const corpus = await openCorpus({ data: [join(shared, 'gsm8k')], textField: 'question' });
    expect(corpus.train.count + corpus.heldout.count).toBe(7473);
    expect((await corpus.train.get(0)).text).toMatch(/^[A-Z]/);
    await corpus.close();
    const prose = await openCorpus({ data: [join(shared, 'sotu'), join(shared, 'wikitext2')] });
    expect(prose.train.count).toBeGreaterThan(800);
    expect(prose.heldout.count / prose.train.count).toBeGreaterThan(0.03);
    await prose.close();
  },
);
