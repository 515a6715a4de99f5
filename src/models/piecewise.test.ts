/** Against the library's own way, which the goldens of tokenizer.test.ts tie to the Python library. */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { Tokenizer as HfTokenizer } from '@huggingface/tokenizers';
import { describe, expect, test, vi } from 'vitest';
import { createRng } from '../shared/rng.ts';
import { piecewise } from './piecewise.ts';
import { exactParts } from './tokenizer-parts.ts';

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url));
const json = (path: string) => JSON.parse(read(path).toString());
const golden = json('test/golden/models/tokenizers/golden.json') as { texts: string[] };

/** Words, marks, spaces and specials in random order: what a cut could get wrong stands at borders. */
function shuffled(count: number): string[] {
  const parts = [
    ' ',
    '  ',
    '\n',
    '\r\n',
    '\t',
    "'s",
    "'LL",
    'I',
    'é',
    'e\u0301',
    'word',
    'WORD',
    '12',
    '½',
    'Ⅷ',
    '…',
    '--',
    '.',
  ];
  parts.push(
    '\u0085',
    '\ufeff',
    '\u00a0',
    '👩‍🔬',
    '中文',
    'ไทย',
    'ا',
    '\u200d',
    '_',
    '$',
    '<|bos|>',
    '\u2028',
    '\ud800',
  );
  const rng = createRng('pieces');
  return Array.from({ length: count }, () =>
    Array.from(
      { length: 1 + Math.floor(rng.uniform() * 12) },
      () => parts[Math.floor(rng.uniform() * parts.length)],
    ).join(''),
  );
}

const demo = gunzipSync(read('demo/corpus/heldout.jsonl.gz'))
  .toString()
  .split('\n', 300)
  .filter(Boolean)
  .map((line) => JSON.parse(line).text as string);

describe('the same ids as the library gives for the whole text', () => {
  for (const [kind, fast] of [
    ['demo', true],
    ['byte-level', true],
    ['llama3', true],
    ['deepseek', false],
    ['falcon', false],
    ['metaspace', false],
  ] as const) {
    test(kind, () => {
      const folder = kind === 'demo' ? 'demo/model' : `test/golden/models/tokenizers/${kind}`;
      const given = json(`${folder}/tokenizer.json`);
      const [tokenizer, config] = [exactParts(given), json(`${folder}/tokenizer_config.json`)];
      const library = new HfTokenizer(tokenizer, config);
      const whole = vi.fn((text: string) => library.encode(text, { add_special_tokens: false }).ids);
      const encode = piecewise(tokenizer, whole);
      const texts = [...shuffled(2000), ...demo, ...golden.texts].filter((text) => text !== '');
      const wrong = texts.filter((text) => encode(text).join() !== whole(text).join());
      expect(wrong).toEqual([]);
      // Pieces are at work where they can be: the library is asked nothing about words it has seen.
      const seen = 'The knight takes the knight';
      encode(seen);
      whole.mockClear();
      encode(seen);
      expect(whole).toHaveBeenCalledTimes(fast ? 0 : 1);
    });
  }
});
