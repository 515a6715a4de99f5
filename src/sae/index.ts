export { editLatent, latentColumn } from './edit.ts';
export { loadSae, readSaeConfig } from './load.ts';
export { saveSae } from './save.ts';
export * from './topk.ts';
export type { Sae, SaeConfig, SparseCode } from './types.ts';
