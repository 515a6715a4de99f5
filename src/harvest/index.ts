/** Model + data -> activations. */

export { NonFiniteActivations } from './non-finite.ts';
export {
  type ActivationStreamOptions,
  createActivationStream,
  type ResumableStream,
  type StreamPosition,
} from './stream.ts';
export * from './types.ts';
