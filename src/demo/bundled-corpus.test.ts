import { expect, it } from 'vitest';
import { parseDocument, readBundledCorpus } from './bundled-corpus.ts';
import { generate } from './generate.ts';

const heldOut = readBundledCorpus('heldout');
const train = readBundledCorpus('train');

it('shares no document, no text and no group between training and held-out part', () => {
  const ids = new Set(train.map(({ id }) => id));
  const texts = new Set(train.map(({ text }) => text));
  expect(ids.size).toBe(train.length);
  expect(heldOut.filter(({ id, text }) => ids.has(id) || texts.has(text))).toEqual([]);
  const speeches = new Set(
    train.filter(({ register }) => register === 'speeches').map(({ id }) => id.split('/')[1]),
  );
  const seenAgain = heldOut.filter(
    ({ id, register }) => register === 'speeches' && speeches.has(id.split('/')[1]),
  );
  expect(seenAgain).toEqual([]);
  const articles = new Set(train.map(({ meta }) => meta.article).filter((article) => article !== undefined));
  expect(heldOut.filter(({ meta }) => meta.article !== undefined && articles.has(meta.article))).toEqual([]);
});

it('makes the text of every generated document again from its seed', () => {
  // parseDocument has done so for the training part; the held-out part carries its spans.
  const generated = heldOut.filter(({ meta }) => meta.seed !== undefined).slice(0, 400);
  for (const { register, meta, text, spans } of generated) {
    expect(generate(register as 'dna', String(meta.seed))).toEqual({ text, spans });
  }
  expect(generated.length).toBe(400);
});

it('says so when a generator no longer makes the text of a seed', () => {
  const line = JSON.stringify({
    id: 'dna/train/0',
    register: 'dna',
    text: 'ACGT',
    meta: { seed: 'dna/train/0' },
    spans: [],
  });
  expect(() => parseDocument(line)).toThrow('build the corpus anew');
});
