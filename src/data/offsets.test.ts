import { expect, test } from 'vitest';
import { byteTokenizer, wordTokenizer } from '../../test/support/tokenizers.ts';
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
