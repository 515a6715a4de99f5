// Tokens as they are shown, for every kind of tokenizer: of a text that is known, of ids alone, and laid on a text in the app.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { createTokenizer } from '../src/models/tokenizer.ts';
import type { Tokenizer } from '../src/models/types.ts';
import { placedTokens } from '../src/server/reading.ts';
import { wholeCharacters } from '../src/workflows/snippets.ts';
import { placed } from '../web/src/placed.ts';

const FOLDER = new URL('golden/models/tokenizers/', import.meta.url);
const json = (path: string) => JSON.parse(readFileSync(new URL(path, FOLDER), 'utf8'));
const golden = json('golden.json') as {
  texts: string[];
  kinds: Record<string, { ids: string; decoded?: string }[]>;
};
const open = (kind: string, encoder = false): Tokenizer =>
  createTokenizer(json(`${kind}/tokenizer.json`), json(`${kind}/tokenizer_config.json`), undefined, {
    encoder,
  });
const TEXT = 'The knight takes e5, and Bob paid $3.50 for 12 apples.';
/** What is nowhere, so that no token need stand for it. */
const unseen = /^[\s\p{M}\p{C}\ufffd]*$/u;

describe.each(Object.keys(golden.kinds))('%s', (kind) => {
  const encoder = kind.startsWith('wordpiece');
  const tokenizer = open(kind, encoder);

  test('of a text that is known, tokens are the text, and the app lays all of them on it', () => {
    for (const text of [TEXT, ...golden.texts]) {
      const read = placedTokens(tokenizer, text);
      const joined = read.tokens.filter((_, t) => read.places[t]![0] < read.places[t]![1]).join('');
      expect(joined).toBe(text.slice(0, joined.length));
      expect(text.slice(joined.length)).toMatch(unseen);
      const shown = placed(read, text);
      expect(shown.map(({ text }) => text).join('')).toBe(text);
      for (const { text, t } of shown) if (t < 0) expect(text).toMatch(unseen);
      for (const { text: one, t } of shown)
        if (t >= 0) expect(text.slice(...read.places[t]!).endsWith(one)).toBe(true);
    }
    expect(placed(placedTokens(tokenizer, TEXT), TEXT).length).toBeGreaterThan(12);
  });

  test('of ids alone they are what Python decodes, up to the space that a text begins with', () => {
    for (const [i, { ids: listed, decoded = golden.texts[i]! }] of golden.kinds[kind]!.entries()) {
      const ids = listed.split(' ').filter(Boolean).map(Number);
      const joined = wholeCharacters(tokenizer, ids)
        .filter((_, t) => !tokenizer.specialIds.has(ids[t]!))
        .join('');
      // Of replacement characters there may be one per byte; vocabularies without spaces are put apart by rules of the decoder.
      const spaces = encoder || kind === 'words' ? /[\s\ufffd]/g : /^[\s\ufffd]+|\ufffd/g;
      // Written by itself, it is no space in this one.
      if (kind === 'words' && decoded.includes('\u2581')) continue;
      expect(joined.replace(spaces, '')).toBe(decoded.replace(spaces, ''));
    }
  });
});

test('what stands around a text is named and has no place; what is typed in it has one', () => {
  const tokenizer = open('byte-level');
  const { tokens, places, cut } = placedTokens(tokenizer, '<|end|> a', 2);
  expect(tokens).toEqual(['<|begin|>', '<|end|>']);
  expect(places).toEqual([
    [0, 0],
    [0, 7],
  ]);
  expect(cut).toBeGreaterThan(0);
  // A tag at the beginning, in a model that puts nothing before a text.
  const bare: Tokenizer = { ...tokenizer, encode: (text) => tokenizer.encode(text) };
  const typed = placedTokens(bare, '<div>');
  expect(typed.tokens.join('')).toBe('<div>');
  expect(typed.places[0]![0]).toBe(0);
  expect(typed.places[0]![1]).toBeGreaterThan(0);
});

test('colours stay before and behind what was typed since', () => {
  const read = placedTokens(open('metaspace'), TEXT);
  const changed = TEXT.replace('Bob', 'Bobby');
  const shown = placed(read, changed);
  expect(shown.map(({ text }) => text).join('')).toBe(changed);
  expect(shown.filter(({ t }) => t < 0).map(({ text }) => text)).toEqual(['by']);
  expect(placed(read, 'something else')).toEqual([{ text: 'something else', t: -1 }]);
});
