export * from './topk.ts';
export type { Sae, SaeConfig, SparseCode } from './types.ts';
