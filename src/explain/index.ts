export { buildCards, type CardOptions } from './cards.ts';
export { createFeatureIndex, type FeatureIndex } from './feature-index.ts';
export { chooseInteresting, chooseRandom, type Scored } from './interestingness.ts';
export { combineLabellers, conceptLabeller, registerLabeller, type TokenTruth } from './labels.ts';
export { type LogitEffects, logitEffects } from './logit-effects.ts';
export type { LabelColumn } from './tables/groups.ts';
export type { IndexedRows, Labeller, Unembed } from './types.ts';
export { createUnembed } from './unembed.ts';
