/** Model + data -> activations. */

export { NonFiniteActivations } from './non-finite.ts';
export { type RowRange, splitRows } from './stored-order.ts';
export { createStoredStream, type StoredStreamOptions } from './stored-stream.ts';
export {
  type ActivationStreamOptions,
  type ActivationStreamsOptions,
  createActivationStream,
  createActivationStreams,
  type ResumableStream,
  type ResumableStreams,
  type StreamArrays,
  type StreamPosition,
} from './stream.ts';
export { harvestToDisk } from './to-disk.ts';
export * from './types.ts';
