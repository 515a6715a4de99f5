export { type Converted, type ConvertOptions, convertSae } from './convert.ts';
export { type Estimate, type EstimateOptions, estimateTraining } from './estimate/estimate.ts';
export { joinMemory, type MemoryLine, type Phase, peakMemory } from './estimate/memory.ts';
export {
  type EvalTarget,
  type Evaluated,
  type EvaluateSaeOptions,
  evaluateSae,
  findTarget,
} from './evaluate-sae.ts';
export { exportFeatures, type FeatureExportResult } from './exchange/export-features.ts';
export { type FeatureImportResult, importFeatures } from './exchange/import-features.ts';
export { type Exported, type ExportOptions, exportModel } from './export.ts';
export { type IndexOptions, indexSae } from './feature-tables/index-sae.ts';
export { type HarvestOptions, type HarvestResult, harvest } from './harvest.ts';
export type { HarvestPlan } from './harvest-plan.ts';
export { type Inspection, inspect, type RunInspection } from './inspect.ts';
export type { SaeInspection } from './inspect-sae.ts';
export { type NamedSae, openInterventions, steeredModel } from './interventions.ts';
export { type Measured, type MeasureOptions, measureSae } from './measure.ts';
export {
  type ModelMemory,
  type ModelNeeds,
  modelMemory,
  modelMemoryText,
  requireModelMemory,
  requireWritingMemory,
} from './model-memory.ts';
export { type ListedModel, listModels, type ModelList } from './models.ts';
export { planTraining } from './plan.ts';
export { type PushPlan, type PushRunOptions, planPush, pushPlanned } from './push.ts';
export { testOnText } from './self-test.ts';
export {
  findSteering,
  type SteeredSamples,
  type SteeringDemo,
  type SteerOptions,
  steeredSamples,
  type WriteOptions,
  writeText,
} from './steer.ts';
export { reportFiles, steerReport } from './steer-report/report.ts';
export type { SteerReportOptions, SteerReportProgress } from './steer-report/types.ts';
export { type TokenizeOptions, tokenize } from './tokenize.ts';
export {
  GRID_FILE,
  type GridOptions,
  type GridResult,
  readGrid,
  resumeGrid,
  trainGrid,
} from './train-grid.ts';
export { resumeTraining, type TrainOptions, type TrainResult, trainSae } from './train-sae.ts';
export type { Snippet, TrainPlan, TrainProgress } from './types.ts';
export { type WriteVectorOptions, writeVector } from './vector.ts';
