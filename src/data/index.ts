/** Text -> documents -> packed rows of tokens. Files are read in Node only; packing runs anywhere. */

export { memoryDocuments, parseDocument } from './documents.ts';
export { type Corpus, type CorpusOptions, HELDOUT_EVERY, openCorpus } from './node/corpus.ts';
export { tokenOffsets } from './offsets.ts';
export { epochOrder } from './order.ts';
export { type PackOptions, packRows, type RowSource } from './pack.ts';
export * from './types.ts';
