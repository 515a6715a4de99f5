/** Text -> documents -> packed rows of tokens. Files are read in Node only; packing runs anywhere. */

export { memoryDocuments } from './documents.ts';
export { mixRows } from './mix.ts';
export { type Corpus, type CorpusOptions, openCorpus } from './node/corpus.ts';
export { readTokenManifest, type TokenManifest, writeTokenFolder } from './node/token-folder.ts';
export { balancedOrder } from './order.ts';
export { packRows, type RowSource } from './pack.ts';
export { renderChats, requireChats } from './render-chats.ts';
export * from './types.ts';
