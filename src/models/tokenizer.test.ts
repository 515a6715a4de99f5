import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { createTokenizer } from './tokenizer.ts';

const FOLDER = new URL('../../test/golden/models/tokenizers/', import.meta.url);
const json = (path: string) => JSON.parse(readFileSync(new URL(path, FOLDER), 'utf8'));
const open = (kind: string) =>
  createTokenizer(json(`${kind}/tokenizer.json`), json(`${kind}/tokenizer_config.json`));

type Case = { text: string; ids: number[]; decoded: string };
/** test/oracles/models/make_tokenizers.py; without `decoded`, decoding gives the text itself. */
const golden = json('golden.json') as {
  texts: string[];
  kinds: Record<string, { ids: string; decoded?: string }[]>;
};
const casesOf = (kind: string): Case[] =>
  golden.kinds[kind]!.map(({ ids, decoded }, i) => ({
    text: golden.texts[i]!,
    ids: ids === '' ? [] : ids.split(' ').map(Number),
    decoded: decoded ?? golden.texts[i]!,
  }));

describe('ids and text equal the Python tokenizers library on nasty text', () => {
  for (const kind of Object.keys(golden.kinds)) {
    test(kind, () => {
      const tokenizer = open(kind);
      const wrong = casesOf(kind).filter(({ text, ids }) => tokenizer.encode(text).join() !== ids.join());
      expect(wrong.map(({ text, ids }) => [text, tokenizer.encode(text).join(), ids.join()])).toEqual([]);
      const badText = casesOf(kind).filter(({ ids, decoded }) => tokenizer.decode(ids) !== decoded);
      expect(badText.map(({ ids, decoded }) => [decoded, tokenizer.decode(ids)])).toEqual([]);
    });
  }
});

describe('tokens for display', () => {
  test('join to the text where no character is split', () => {
    for (const kind of ['byte-level', 'llama3']) {
      const tokenizer = open(kind);
      const text = 'The knight takes  e5,\n\tand Bob paid $3.50.';
      expect(tokenizer.tokenStrings(tokenizer.encode(text)).join('')).toBe(text);
    }
    const pieces = open('metaspace');
    expect(pieces.tokenStrings(pieces.encode('The knight')).join('')).toBe(' The knight');
  });

  test('bytes of a split character show as replacement characters, specials as themselves', () => {
    const tokenizer = open('byte-level');
    expect(tokenizer.tokenStrings(tokenizer.encode('日')).join('')).toMatch(/^\ufffd+$/);
    expect(tokenizer.tokenStrings([1, 2])).toEqual(['<|begin|>', '<|end|>']);
    expect(tokenizer.tokenStrings([99999])).toEqual(['[99999]']);
  });
});

test('BOS is put first only when asked for, and specials are known', () => {
  const tokenizer = open('byte-level');
  expect(tokenizer.bosTokenId).toBe(1);
  expect(tokenizer.encode('a', { bos: true })).toEqual([1, ...tokenizer.encode('a')]);
  expect(tokenizer.encode('')).toEqual([]);
  expect(tokenizer.encode('', { bos: true })).toEqual([1]);
  expect([...tokenizer.specialIds].sort()).toEqual([0, 1, 2]);
  expect(tokenizer.vocabularySize).toBe(900);
});

test('bytes that are no character, and a byte order mark, are decoded as in Rust', () => {
  const tokenizer = open('metaspace');
  const byte = (value: number) => 3 + value;
  expect(tokenizer.tokenStrings([byte(0x41)])).toEqual(['A']);
  // tokenizers 0.23: Tokenizer.from_file(...).decode(ids)
  expect(tokenizer.decode([byte(0xef), byte(0xbb), byte(0xbf)])).toBe('\ufeff');
  expect(tokenizer.decode([byte(0xe2), byte(0x82)])).toBe('\ufffd\ufffd');
});

test('what cannot be had exactly is refused', () => {
  const precompiled = {
    ...json('unigram/tokenizer.json'),
    normalizer: { type: 'Precompiled', precompiled_charsmap: 'AAAA' },
  };
  expect(() => createTokenizer(precompiled, {})).toThrow(/compiled character map/);
  const split = {
    ...json('gemma/tokenizer.json'),
    pre_tokenizer: { type: 'Split', pattern: { Regex: 'a' }, behavior: 'MergedWithNext', invert: true },
  };
  expect(() => createTokenizer(split, {})).toThrow(/behavior "MergedWithNext", inverted/);
});

/** test/oracles/models/make_prompts.py */
type Prompts = Record<string, Record<string, { post_processor: unknown; ids: string[] }>>;
const prompts = json('prompts.json') as { texts: string[]; kinds: Prompts };

describe('prompts are those of transformers, whatever add_bos_token says beside a post-processor', () => {
  test.each(Object.keys(prompts.kinds))('%s', (kind) => {
    const [spec, config] = [json(`${kind}/tokenizer.json`), json(`${kind}/tokenizer_config.json`)];
    for (const [name, { post_processor, ids }] of Object.entries(prompts.kinds[kind]!)) {
      for (const add of name === 'none' ? [{}] : [{}, { add_bos_token: true }, { add_bos_token: false }]) {
        const tokenizer = createTokenizer({ ...spec, post_processor }, { ...config, ...add });
        const ours = prompts.texts.map((text) => tokenizer.encodePrompt(text).join(' '));
        expect([name, ours]).toEqual([name, ids]);
      }
    }
  });
});

test('without a post-processor add_bos_token decides; a prompt without text is BOS, where there is one', () => {
  const spec = json('byte-level/tokenizer.json');
  const prompt = (text: string, config: Record<string, unknown>, configured?: number) =>
    createTokenizer(spec, config, configured).encodePrompt(text);
  const plain = open('byte-level').encode('a');
  expect(prompt('a', { bos_token: '<|begin|>', add_bos_token: true })).toEqual([1, ...plain]);
  expect(prompt('a', { bos_token: '<|begin|>', add_bos_token: false })).toEqual(plain);
  // Qwen: config.json has an id, tokenizer_config.json no token.
  expect(prompt('a', { bos_token: null }, 2)).toEqual(plain);
  expect(prompt('', { bos_token: '<|begin|>' })).toEqual([1]);
  expect(prompt('', {})).toEqual([]);
});
