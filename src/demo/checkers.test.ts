// Every checker on documents of every register: a confusion matrix. Rows: held-out documents, languages one by one.
import { describe, expect, it } from 'vitest';
import { readBundledCorpus } from './bundled-corpus.ts';
import { completeJson, isTrueArithmetic } from './checkers/formats.ts';
import { scriptShare } from './checkers/languages.ts';
import { checkers, checkRegister } from './checkers.ts';
import type { LabelledDocument } from './concepts/types.ts';

const heldOutDocuments = readBundledCorpus('heldout');
const perRow = 60;
const rows = new Map<string, LabelledDocument[]>();
for (const document of heldOutDocuments) {
  const row =
    document.register === 'languages' ? String(document.meta.language).toLowerCase() : document.register;
  const documents = rows.get(row) ?? [];
  if (documents.length < perRow) rows.set(row, [...documents, document]);
}

/** Registers that are English text besides being what they are; runs of comment in code may be nothing else. */
const english = [
  'speeches',
  'countries',
  'definitions',
  'scripture',
  'novels',
  'maths',
  'recipes',
  'money',
  'reviews',
  'dates',
];
const mayBeEnglish = [...english, 'python', 'typescript'];
const isOwn = (row: string, checker: string) =>
  row === checker || (checker === 'english' && mayBeEnglish.includes(row));

function rate(documents: readonly LabelledDocument[], checker: string): number {
  return documents.filter(({ text }) => checkRegister(checker, text)).length / documents.length;
}

describe('confusion matrix on held-out documents', () => {
  it('has a row of documents for every checker but English, which is six registers', () => {
    expect(Object.keys(checkers).filter((name) => name !== 'english' && !rows.has(name))).toEqual([]);
    expect(Object.keys(checkers).length).toBeGreaterThanOrEqual(12);
  });

  it('accepts all documents of generated registers, at least nine in ten of the others; Python, the vaguest, eight in ten', () => {
    const low = Object.keys(checkers)
      .filter((name) => name !== 'english')
      .map((name) => ({ name, accepted: rate(rows.get(name) ?? [], name) }))
      .filter(({ name, accepted }) => {
        const generated = rows.get(name)?.[0]?.meta.seed !== undefined;
        return accepted < (generated ? 1 : name === 'python' ? 0.8 : 0.9);
      });
    expect(low).toEqual([]);
  });

  it('takes English prose for English: all of it but tables of facts and word problems, where seven in ten', () => {
    const low = english
      .filter((row) => row !== 'dates')
      .map((row) => ({ row, accepted: rate(rows.get(row) ?? [], 'english') }))
      .filter(({ row, accepted }) => accepted < (['countries', 'maths'].includes(row) ? 0.6 : 0.95));
    expect(low).toEqual([]);
  });

  it('accepts next to nothing of other registers: below 5 % in any cell, below 0.1 % over all cells', () => {
    const wrong: string[] = [];
    let accepted = 0;
    let tried = 0;
    for (const [row, documents] of rows) {
      for (const checker of Object.keys(checkers).filter((name) => !isOwn(row, name))) {
        const share = rate(documents, checker);
        accepted += share * documents.length;
        tried += documents.length;
        // A row of six documents cannot show 5 %: one document is allowed everywhere.
        if (share >= 0.05 && share * documents.length > 1)
          wrong.push(`${row} as ${checker}: ${share.toFixed(2)}`);
      }
    }
    expect(wrong).toEqual([]);
    expect(tried).toBeGreaterThan(50_000);
    expect(accepted / tried).toBeLessThan(0.001);
  });
});

describe('texts that are cut, as samples are', () => {
  it('accepts the first two thirds of documents where it accepts the whole, in nine of ten', () => {
    const names = [
      'dna',
      'base64',
      'dates',
      'urls',
      'csv',
      'json',
      'arithmetic',
      'brackets',
      'chess',
      'french',
      'russian',
      'css',
    ];
    for (const name of names) {
      const documents = (rows.get(name) ?? []).filter(({ text }) => checkRegister(name, text));
      const cut = documents.map((document) => ({
        ...document,
        text: document.text.slice(0, Math.floor(document.text.length * 0.67)),
      }));
      expect(rate(cut, name), name).toBeGreaterThanOrEqual(0.9);
    }
  });

  it('closes what cut JSON left open', () => {
    expect(JSON.parse(completeJson('{"a": [1, {"b": "x\\"y'))).toEqual({ a: [1, { b: 'x"y' }] });
    expect(completeJson('[1]')).toBe('[1]');
  });
});

describe('near misses', () => {
  it.each([
    ['chess', '1. e4 e5 2. Nf3 Nc6 3. Bb5 a6 4. Ba4 Nf6 5. Ke3 '],
    ['json', '{"a": [1, 2}, "b": "and some more text"}'],
    ['brackets', '([{}])<>(([]))[]{}<<>>([)]()()()'],
    ['dna', 'ACGTACGTACGTACGTACGTNACGTACGTACGTACGT'],
    ['dates', '2021-02-30  exam\n2021-03-01  exam\n2021-03-02  exam\n'],
    ['http-logs', '1.2.3.400 - - [01/Jan/2020:00:00:00 +0000] "GET / HTTP/1.1" 200 12 "-" "curl/8.4.0"\n'],
    ['csv', 'id,name,age\n1,Ada,36\n2,Ben\n3,Zoe,20\n'],
    [
      'base64',
      'VGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcyBvdmVyIHRoZSBsYXp5IGRvZy4=='
        .replace('QuIGJ', 'Qu*IGJ')
        .replace('d', '-'),
    ],
    ['urls', 'https://example.org/a\nwww.example.org/b\nhttps://example.org/c\n'],
    ['money', 'Ada: How much is the lamp?\nAda: I have $20.\nAda: Please.\n'],
    ['french', 'The law is equal for all persons and no one shall be left out of it.'],
    ['russian', 'Усі люди народжуються вільними і рівними у своїй гідності та правах.'],
  ])('refuses %s that is not quite right', (name, text) => {
    expect(checkRegister(name, text)).toBe(false);
  });

  it('tells true lines of arithmetic from false ones', () => {
    expect(
      ['2 + 2 = 4', '9 - 4 = 5', '6 * 7 = 42', '8 / 2 = 4', '1 + 2 + 3 = 6'].map(isTrueArithmetic),
    ).not.toContain(false);
    expect(['2 + 2 = 5', '8 / 3 = 2'].map(isTrueArithmetic)).not.toContain(true);
  });

  it('knows scripts by Unicode and names those it knows', () => {
    expect(scriptShare('Все люди рождаются свободными и равными', 'Cyrillic')).toBe(1);
    expect(scriptShare('too short', 'Latin')).toBe(0);
    expect(() => scriptShare('a', 'Runic')).toThrow('Cyrillic');
    expect(() => checkRegister('klingon', 'nuqneH')).toThrow("no checker 'klingon'");
  });
});
