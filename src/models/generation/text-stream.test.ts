import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { createTokenizer } from '../tokenizer.ts';
import { createTextStream } from './text-stream.ts';

const FOLDER = new URL('../../../test/golden/models/tokenizers/', import.meta.url);
const json = (path: string) => JSON.parse(readFileSync(new URL(path, FOLDER), 'utf8'));
const open = (kind: string) =>
  createTokenizer(json(`${kind}/tokenizer.json`), json(`${kind}/tokenizer_config.json`));
const { texts } = json('golden.json') as { texts: string[] };
const long = texts.join(' | ');

test.each(['byte-level', 'llama3', 'qwen2', 'metaspace', 'gemma', 'wordpiece', 'unigram'])(
  '%s: the pieces are the text that all tokens together decode to, and no character is split',
  (kind) => {
    const tokenizer = open(kind);
    const prompt = tokenizer.encode('It begins: ');
    const ids = tokenizer.encode(long);
    const stream = createTextStream(tokenizer, prompt);
    const pieces = ids.map((id) => stream.push(id));
    pieces.push(stream.end());
    const expected = tokenizer.decode([...prompt, ...ids]).slice(tokenizer.decode(prompt).length);
    expect(stream.text).toBe(pieces.join(''));
    expect(stream.text).toBe(expected);
    const marks = (text: string) => text.split('\ufffd').length;
    expect(pieces.reduce((sum, piece) => sum + marks(piece) - 1, 1)).toBe(marks(expected));
    for (const piece of pieces) expect(/^[\udc00-\udfff]|[\ud800-\udbff]$/.test(piece)).toBe(false);
    // Most of it came before the end.
    expect(pieces.at(-1)!.length).toBeLessThan(10);
  },
);

/** Scripts that none of these vocabularies has, with spaces and without, each some windows long. */
const OTHER = ['ሰላም ለዓለም እንዴት ነህ ', 'ሰላምለዓለምእንዴትነህ', '👩🏽‍🚀𓀀𓁐 ', 'ကမ္ဘာလောက'].map((text) => text.repeat(5));
const KINDS = Object.keys((json('golden.json') as { kinds: Record<string, unknown> }).kinds);

test.each(KINDS)('%s: whatever part is the prompt, the rest is what decode makes of all tokens', (kind) => {
  const tokenizer = open(kind);
  for (const text of OTHER) {
    const ids = tokenizer.encode(`It begins: ${text} and ends.`);
    const all = tokenizer.decode(ids);
    let before = '';
    for (let cut = 0; cut < ids.length; cut++) {
      const prompt = tokenizer.decode(ids.slice(0, cut));
      // A character that the prompt only begins is part of the rest.
      if (!prompt.endsWith('\ufffd')) before = prompt;
      const stream = createTextStream(tokenizer, ids.slice(0, cut));
      for (const id of ids.slice(cut)) stream.push(id);
      stream.end();
      expect([cut, stream.text]).toEqual([cut, all.slice(before.length)]);
    }
  }
});

test('a byte that is no character does not take back what was shown', () => {
  const tokenizer = open('mistral');
  const [bytes, more] = ['ሰላ', 'ም.'].map((text) => tokenizer.encode(`a${text}`).slice(1)) as [
    number[],
    number[],
  ];
  const stream = createTextStream(tokenizer, []);
  const pieces = [...tokenizer.encode('a'), ...bytes, 3 + 0xff, ...more].map((id) => stream.push(id));
  expect([...pieces, stream.end()].join('')).toBe(`aሰላ${'\ufffd'.repeat(4)}.`);
});

/** One token per character. */
const letters = { decode: (ids: readonly number[]) => String.fromCharCode(...ids) };
const codes = (text: string) => [...text].map((letter) => letter.charCodeAt(0));

test('stop strings over several tokens: nothing of them is shown, what only looked like one is', () => {
  const stream = createTextStream(letters, codes('x'), ['END', 'ENOUGH']);
  const pieces = codes('aENaENDb').map((id) => stream.push(id));
  expect(pieces).toEqual(['a', '', '', 'ENa', '', '', '', '']);
  expect([stream.text, stream.stopped, stream.end()]).toEqual(['aENa', true, '']);
  const open = createTextStream(letters, [], ['END']);
  expect(codes('aEN').map((id) => open.push(id))).toEqual(['a', '', '']);
  expect([open.end(), open.text]).toEqual(['EN', 'aEN']);
});

test('stop strings inside of one token', () => {
  const words = {
    decode: (ids: readonly number[]) => ids.map((id) => ['so', ' th\nat', ' is'][id]).join(''),
  };
  const stream = createTextStream(words, [], ['\n']);
  expect([0, 1, 2].map((id) => stream.push(id))).toEqual(['so', ' th', '']);
});

test('bytes that never become a character are shown at the end', () => {
  const tokenizer = open('metaspace');
  const byte = (value: number) => 3 + value;
  const stream = createTextStream(tokenizer, []);
  expect([stream.push(byte(0xf0)), stream.push(byte(0x9f))]).toEqual(['', '']);
  expect(stream.end()).toBe('\ufffd\ufffd');
});
