export { pcaCandidate, type SaeFunctions, saeCandidate } from './candidates.ts';
export { type EvaluateOptions, type EvaluateProgress, evaluate } from './evaluate.ts';
export { createMoments, type Moments } from './moments.ts';
export { fitPca, type Pca } from './pca.ts';
export { createRowReader, type RowReader } from './read-rows.ts';
export { wilson } from './statistics/binomial.ts';
export { type BootstrapOptions, bootstrap, type UnitSums } from './statistics/bootstrap.ts';
export { formatEvalTable } from './table.ts';
export type { Candidate, EvalModel, ObservedRows, Reconstruction } from './types.ts';
