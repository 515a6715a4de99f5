export { padBatch } from './batch.ts';
export {
  type OnnxFeed,
  type OnnxRunOptions,
  type OnnxTensor,
  type OpenedOnnx,
  openOnnx,
} from './onnx/any.ts';
export { describeOnnx, type OnnxDescription } from './onnx/describe.ts';
export { type OpenModelOptions, openModel } from './open.ts';
export type { Placement } from './place-sae.ts';
export { type SentenceOptions, sentenceVectors } from './sentence-vectors.ts';
export type * from './steering/types.ts';
export { createTokenizer } from './tokenizer.ts';
export type * from './types.ts';
