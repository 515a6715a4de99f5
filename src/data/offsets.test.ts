import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { byteTokenizer, wordTokenizer } from '../../test/support/tokenizers.ts';
import { createTokenizer } from '../models/tokenizer.ts';
import { tokenOffsets } from './offsets.ts';

const pieces = (text: string, tokenizer = byteTokenizer): string[] => {
  const { starts, ends } = tokenOffsets(text, tokenizer.encode(text), tokenizer);
  return [...starts].map((start, i) => text.slice(start, ends[i]));
};

test('bytes of one character all get the whole character', () => {
  expect(pieces('aж€😀z')).toEqual(['a', 'ж', 'ж', '€', '€', '€', '😀', '😀', '😀', '😀', 'z']);
});

test('a replacement character that really is in the text is not mistaken for a split one', () => {
  expect(pieces('a\ufffdb')).toEqual(['a', '\ufffd', '\ufffd', '\ufffd', 'b']);
});

test('a leading space that decoding swallows belongs to the word after it', () => {
  expect(pieces('to be or', wordTokenizer())).toEqual(['to', ' be', ' or']);
  expect(pieces('a  b\n\nc', wordTokenizer()).join('')).toBe('a  b\n\nc');
});

test('where the tokenizer changed the text, tokens around the change stay in place', () => {
  const words = ['see', ' QQ', ' then', ' end'];
  const tokenizer = {
    ...wordTokenizer(words),
    decode: (ids: readonly number[]) => ids.map((i) => words[i]).join(''),
  };
  const text = 'see ﬁgure then end';
  const { starts, ends } = tokenOffsets(text, [0, 1, 2, 3], tokenizer);
  expect(text.slice(starts[0], ends[0])).toBe('see');
  expect(text.slice(starts[1], ends[1]).trim()).toBe('ﬁgure');
  expect(text.slice(starts[2], ends[2]).trim()).toBe('then');
  expect(text.slice(starts[3], ends[3]).trim()).toBe('end');
});

describe('with real tokenizers (the goldens of the tokenizer tests)', () => {
  const folder = fileURLToPath(new URL('../../test/golden/models/tokenizers', import.meta.url));
  const read = (path: string): Record<string, unknown> =>
    JSON.parse(readFileSync(join(folder, path), 'utf8'));
  const { texts } = read('golden.json') as { texts: string[] };

  // Those that change no character.
  test.each(['byte-level', 'digits', 'llama3', 'deepseek', 'falcon', 'metaspace'])(
    '%s: stretches follow one another, and together they are the text',
    (name) => {
      const tokenizer = createTokenizer(
        read(`${name}/tokenizer.json`),
        read(`${name}/tokenizer_config.json`),
      );
      for (const text of texts) {
        // SentencePiece writes spaces as this; one of the text cannot be told from them.
        if (name === 'metaspace' && text.includes('\u2581')) continue;
        const ids = tokenizer.encode(text);
        const { starts, ends } = tokenOffsets(text, ids, tokenizer);
        let joined = '';
        let at = 0;
        for (let i = 0; i < ids.length; i++) {
          // Parts of one character share its stretch; a space that SentencePiece puts in has none.
          if (i > 0 && starts[i] === starts[i - 1] && ends[i] === ends[i - 1]) continue;
          if (name === 'metaspace' && starts[i] === ends[i] && tokenizer.tokenStrings([ids[i]!])[0] === ' ')
            continue;
          expect(starts[i]).toBe(at);
          expect(ends[i]).toBeGreaterThan(starts[i]!);
          at = ends[i]!;
          joined += text.slice(starts[i], ends[i]);
        }
        expect(joined).toBe(text);
      }
    },
  );

  // test/oracles/models/make_offsets.py; its head says what the words mean.
  const golden = read('offsets.json') as Record<string, string[]>;
  /** White space, marks, joiners and what normalizers drop are given to one neighbour or the other. */
  const bare = (text: string): string => text.replace(/[\s\p{M}\p{C}\ufffd]/gu, '');
  /** What SentencePiece writes spaces as, two marks that become one, and where Python gives a token less than it was made of. */
  const odd = /[\u2581\u11a8\ufdfa]|''|\u{1d54f}/u;

  test.each(Object.keys(golden))('%s: stretches are those of the Python library', (name) => {
    const tokenizer = createTokenizer(read(`${name}/tokenizer.json`), read(`${name}/tokenizer_config.json`));
    const wrong: unknown[] = [];
    for (const [n, text] of texts.entries()) {
      if (odd.test(text)) continue;
      const ids = tokenizer.encode(text);
      const { starts, ends } = tokenOffsets(text, ids, tokenizer);
      const words = golden[name]![n]!.split(' ').filter((word) => word !== '');
      expect(words).toHaveLength(ids.length);
      let at = 0;
      for (const [i, word] of words.entries()) {
        const [length, gap = 0] = word.split('+').map(Number).reverse() as [number, number?];
        const python = bare(text.slice(at + gap, at + gap + length));
        at += gap + length;
        const ours = bare(text.slice(starts[i], ends[i]));
        const [piece] = tokenizer.tokenStrings([ids[i]!]) as [string];
        // Characters that begin in one token and end in another are one stretch here.
        const same = piece.includes('\ufffd') ? ours.includes(python) : ours === python;
        // A space that the tokenizer put in has a character in Python, and none here.
        if (!same && bare(piece) !== '') wrong.push([text, piece, ours, python]);
      }
    }
    expect(wrong).toEqual([]);
  });
});
