export { distribution } from './distribution.ts';
export { type Example, examplesOf, indexTokens, peaksOf, type TextTokens } from './examples.ts';
export { benjaminiHochberg, createGroupTest, type GroupRate, type LabelColumn } from './groups.ts';
export { byValue, type Entries, gatherEntries, rangesOf, type TextCodes } from './latent.ts';
export { nearestRows } from './neighbours.ts';
export { createTogether } from './together.ts';
