import { expect, it } from 'vitest';
import { readBundledCorpus } from './bundled-corpus.ts';
import { generators } from './generate.ts';
import { registerByName, registers } from './registers.ts';

const heldOutDocuments = readBundledCorpus('heldout');

it('lists the registers of the corpus, all generators among them, with a licence each', () => {
  const names = registers.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  expect(new Set(heldOutDocuments.map(({ register }) => register))).toEqual(new Set(names));
  const generated = registers.filter(({ kind }) => kind === 'generated').map(({ name }) => name);
  expect(generated.sort()).toEqual(Object.keys(generators).sort());
  expect(registers.filter(({ licence }) => licence === '')).toEqual([]);
});

it('names every key of the metadata and every label that documents have, and no others', () => {
  const documents = [...heldOutDocuments, ...readBundledCorpus('train')];
  for (const { register, meta, spans, id } of documents) {
    const { metadata, labels } = registerByName(register);
    expect(
      Object.keys(meta).filter((key) => !metadata.includes(key)),
      id,
    ).toEqual([]);
    expect(
      spans.filter(({ label }) => !labels.includes(label)),
      id,
    ).toEqual([]);
  }
  for (const { name, labels } of registers) {
    const found = new Set(
      documents
        .filter(({ register }) => register === name)
        .flatMap(({ spans }) => spans.map(({ label }) => label)),
    );
    expect([...found].sort(), name).toEqual([...labels].sort());
  }
});

it('says which registers there are when asked for another', () => {
  expect(() => registerByName('poems')).toThrow('speeches');
});
