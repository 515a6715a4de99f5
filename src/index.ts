/**
 * saekit as a library, in the order of the work: a model, its activations, training, a finished SAE, measuring, looking inside.
 *
 * @example
 * import { openModel, trainSae, trainConfigSchema } from 'saekit';
 * const model = await openModel('demo/model');
 * const { cache } = await model.runWithCache('The meeting was held on the', 'blocks.3.hook_resid_post');
 */
import './platform/node.ts';

export {
  type Corpus,
  type CorpusOptions,
  type Document,
  type DocumentSet,
  memoryDocuments,
  openCorpus,
  type PackedRows,
  packRows,
  type TokenManifest,
} from './data/index.ts';
export {
  type Candidate,
  createMoments,
  createRowReader,
  type EvaluateOptions,
  evaluate,
  evaluateRows,
  fitPca,
  formatEvalTable,
  type Moments,
  type Pca,
  pcaCandidate,
  saeCandidate,
} from './eval/index.ts';
export {
  buildCards,
  type CardOptions,
  chooseInteresting,
  chooseRandom,
  createFeatureIndex,
  createUnembed,
  type FeatureIndex,
  type Labeller,
  type LogitEffects,
  logitEffects,
  type Unembed,
} from './explain/index.ts';
export {
  type ActivationRows,
  type ActivationStreamOptions,
  type ActivationStreamsOptions,
  createActivationStream,
  createActivationStreams,
  createStoredStream,
  NonFiniteActivations,
  type ResumableStream,
  type ResumableStreams,
  type StoredStreamOptions,
} from './harvest/index.ts';
export * from './hooked/index.ts';
export * from './models/index.ts';
export {
  type Architecture,
  createEncoder,
  type DecodeOptions,
  decode,
  dense,
  describeSae,
  type EncodeOptions,
  type Encoder,
  editLatent,
  encode,
  type LatentRows,
  latentColumn,
  loadSae,
  type OpenedSae,
  openSae,
  type RecordedNumbers,
  readLatent,
  type Sae,
  type SaeConfig,
  type Screened,
  type Screening,
  type SelfTest,
  type SelfTestOptions,
  type SparseCode,
  saveSae,
  selfTest,
  selfTestText,
} from './sae/index.ts';
export type { ActivationsManifest } from './shared/activations.ts';
export {
  type EvalConfig,
  type EvalConfigInput,
  evalConfigSchema,
  type TokenizeConfig,
  type TokenizeConfigInput,
  type TrainConfig,
  type TrainConfigInput,
  tokenizeConfigSchema,
  trainConfigSchema,
} from './shared/config.ts';
export { Interrupted, UsageError } from './shared/errors.ts';
export type { CandidateResult, EvalResult } from './shared/eval.ts';
export {
  type ExportFeaturesConfig,
  exportFeaturesConfigSchema,
  type ImportFeaturesConfig,
  importFeaturesConfigSchema,
} from './shared/exchange.ts';
export type { FeatureCard, FeatureCards } from './shared/feature.ts';
export {
  type IndexConfig,
  type IndexConfigInput,
  indexConfigSchema,
  type TablesManifest,
} from './shared/feature-tables.ts';
export { type GenerateConfig, type GenerateConfigInput, generateConfigSchema } from './shared/generate.ts';
export { expandGrid, type Grid, type GridFile, gridSchema } from './shared/grid.ts';
export { type HarvestConfig, type HarvestConfigInput, harvestConfigSchema } from './shared/harvest.ts';
export {
  type InterventionConfig,
  type InterventionConfigInput,
  interventionSchema,
} from './shared/intervention.ts';
export type { Run } from './shared/run.ts';
export {
  type SteerReport,
  type SteerReportConfig,
  type SteerReportConfigInput,
  steerReportConfigSchema,
} from './shared/steer-report.ts';
export * from './steer/index.ts';
export {
  type ActivationMeta,
  type ActivationSource,
  BeyondFloat16,
  type FeatureTables,
  folderWriter,
  type LatentCache,
  openActivations,
  openFeatureTables,
  openLatentCache,
  readActivationsManifest,
  readRun,
  readRunMetrics,
  StorageFull,
  verifyActivations,
} from './store/index.ts';
export {
  createTrainer,
  type StepMetrics,
  type Trainer,
  type TrainerConfig,
  TrainingDiverged,
} from './train/index.ts';
export * from './workflows/index.ts';
