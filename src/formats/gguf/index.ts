export { blockSize, DEQUANTIZED, dequantize } from './dequantize.ts';
export { type Gguf, readGguf } from './header.ts';
export type { GgufTensor, GgufValue } from './types.ts';
