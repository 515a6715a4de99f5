export { distribution } from './distribution.ts';
export { examplesOf, indexTokens, type TextTokens } from './examples.ts';
export { createGroupTest, type GroupRate } from './groups.ts';
export { gatherEntries, rangesOf, type TextCodes } from './latent.ts';
export { nearestRows } from './neighbours.ts';
export { createTogether } from './together.ts';
