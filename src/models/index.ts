export { padBatch } from './batch.ts';
export { type OpenModelOptions, openModel } from './open.ts';
export { type SentenceOptions, sentenceVectors } from './sentence-vectors.ts';
export { createTokenizer } from './tokenizer.ts';
export type * from './types.ts';
