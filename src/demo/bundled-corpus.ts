/** Reading the labelled corpus that ships with the package (`demo/corpus/`; its README has the fields). */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import type { LabelledDocument } from './concepts/types.ts';
import { type GeneratedRegister, generate } from './generate.ts';

/**
 * A document of the corpus from its JSON line. The training part ships generated documents without their spans, to save space; they
 * are made again here from the document's seed.
 *
 * @throws Error if the text of a seed is no longer the text of the line: the generators have changed since the corpus was made
 */
export function parseDocument(line: string): LabelledDocument {
  const document = JSON.parse(line) as LabelledDocument;
  const { seed } = document.meta;
  if (typeof seed !== 'string' || document.spans.length > 0) return document;
  const { text, spans } = generate(document.register as GeneratedRegister, seed);
  if (text !== document.text) {
    throw new Error(
      `the generator of '${document.register}' no longer makes the text of seed '${seed}'; build the corpus anew`,
    );
  }
  return { ...document, spans };
}

/**
 * All documents of one part of the bundled corpus, in the order of the file, which is a fair mixture.
 *
 * @example
 * const documents = readBundledCorpus('heldout');
 * documents.filter(({ register }) => register === 'chess');
 */
export function readBundledCorpus(part: 'train' | 'heldout'): LabelledDocument[] {
  const file = new URL(`../../demo/corpus/${part}.jsonl.gz`, import.meta.url);
  return gunzipSync(readFileSync(file)).toString('utf8').trim().split('\n').map(parseDocument);
}
