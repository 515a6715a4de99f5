import { describe, expect, it } from 'vitest';
import { readBundledCorpus } from './bundled-corpus.ts';
import { corpusLanguages } from './concepts/languages.ts';
import { joinRanges, type LabelledDocument } from './concepts/types.ts';
import { conceptByName, concepts, tokenTruth } from './concepts.ts';

const heldOutDocuments = readBundledCorpus('heldout');
const characters = heldOutDocuments.reduce((sum, { text }) => sum + text.length, 0);
const truthText = (name: string, document: LabelledDocument) =>
  conceptByName(name)
    .truth(document)
    .map(([start, end]) => document.text.slice(start, end));
const ofRegister = (register: string) =>
  heldOutDocuments.filter((document) => document.register === register);

describe('the concept suite', () => {
  it('has at least 48 concepts with names of their own', () => {
    expect(concepts.length).toBeGreaterThanOrEqual(48);
    expect(new Set(concepts.map(({ name }) => name)).size).toBe(concepts.length);
    expect(() => conceptByName('nothing')).toThrow("no concept 'nothing'");
  });

  it('finds every concept in held-out text, at least three times, and none in more than half of it', () => {
    const odd = concepts
      .map(({ name, truth }) => {
        const ranges = heldOutDocuments.flatMap(truth);
        return {
          name,
          count: ranges.length,
          share: ranges.reduce((sum, [start, end]) => sum + end - start, 0) / characters,
        };
      })
      .filter(({ count, share }) => count < 3 || share > 0.5);
    expect(odd).toEqual([]);
  });

  it('returns sorted ranges inside the text that do not overlap', () => {
    for (const { name, truth } of concepts) {
      for (const document of heldOutDocuments.slice(0, 800)) {
        let last = 0;
        for (const [start, end] of truth(document)) {
          expect(
            start >= last && end > start && end <= document.text.length,
            `${name} in ${document.id}`,
          ).toBe(true);
          last = end;
        }
      }
    }
  });

  it('has a concept for every language of the corpus', () => {
    const found = new Set(ofRegister('languages').map(({ meta }) => meta.language));
    expect([...found].sort()).toEqual(Object.keys(corpusLanguages).sort());
  });
});

describe('truth against patterns read off the text', () => {
  it.each([
    ['json/key', 'json', /"((?:\\.|[^"\\])*)"(?=: )/g],
    ['json/value-string', 'json', /(?<=(?:: |[[,]\s*)")((?:\\.|[^"\\])*)(?="(?!: ))/g],
    ['chess/knight', 'chess', /(?<=\s)(N[a-h1-8]*x?[a-h][1-8][+#]?)/g],
    ['chess/move-number', 'chess', /\b(\d+\.)/g],
    ['recipe/duration', 'recipes', /(\d+ minutes|1 hour)/g],
    ['scripture/verse-number', 'scripture', /^(\d+)(?= )/gm],
    ['country/percentage', 'countries', /(\d+(?:\.\d+)?%)/g],
    ['log/client-error', 'http-logs', /" (4\d\d) /g],
  ])('%s', (name, register, pattern) => {
    for (const document of ofRegister(register).slice(0, 60)) {
      const expected = [...document.text.matchAll(pattern)].map((match) => match[1]);
      expect(truthText(name, document), document.id).toEqual(expected);
    }
  });

  it('python comments and docstrings: what is left has no # outside strings', () => {
    for (const document of ofRegister('python').slice(0, 60)) {
      const outside = [...document.text];
      for (const { start, end, label } of document.spans) {
        if (label !== 'keyword') outside.fill(' ', start, end);
      }
      expect(outside.join(''), document.id).not.toMatch(/#/);
    }
  });

  it('new testament: books from Matthew on', () => {
    const books = new Set(
      ofRegister('scripture')
        .filter((document) => truthText('scripture/new-testament', document).length > 0)
        .map(({ meta }) => meta.book),
    );
    expect(books).toContain('John');
    expect(books).not.toContain('Ge');
  });
});

describe('tokenTruth', () => {
  it('marks tokens of which at least half the visible characters are inside', () => {
    const text = 'ab cd ef';
    const offsets = [
      [0, 2],
      [2, 5],
      [5, 8],
      [8, 8],
    ] as const;
    expect([...tokenTruth(text, [[3, 5]], offsets)]).toEqual([0, 1, 0, 0]);
    expect([...tokenTruth(text, [[4, 7]], offsets)]).toEqual([0, 1, 1, 0]);
    expect([...tokenTruth(text, [], offsets)]).toEqual([0, 0, 0, 0]);
    expect([
      ...tokenTruth(
        'a  b',
        [[1, 3]],
        [
          [0, 1],
          [1, 3],
          [3, 4],
        ],
      ),
    ]).toEqual([0, 1, 0]);
  });

  it('joins ranges that touch', () => {
    expect(
      joinRanges([
        [5, 7],
        [0, 2],
        [2, 3],
        [6, 6],
      ]),
    ).toEqual([
      [0, 3],
      [5, 7],
    ]);
  });
});
