/** Run folders: locked while written, every file whole or not at all. */

export { type HarvestFolder, harvestFolders } from './activations/folders.ts';
export {
  addToSums,
  emptySums,
  HELDOUT_FOLDER,
  readManifest as readActivationsManifest,
  statisticsOf,
} from './activations/manifest.ts';
export { verifyActivations } from './activations/shards.ts';
export { type LatentCache, openLatentCache } from './activations/sources/delphi.ts';
export { NoActivations } from './activations/sources/joined.ts';
export { openActivations } from './activations/sources/registry.ts';
export type * from './activations/types.ts';
export {
  BeyondFloat16,
  createShardWriter,
  type HarvestPlace,
  type ShardWriter,
  storedBytesPerRow,
} from './activations/writer.ts';
export { folderWriter, isTemporary, StorageFull } from './atomic.ts';
export { wholeArray } from './checkpoints.ts';
export { readLabels, writeLabel, writeLabels } from './labels.ts';
export { lockFolder, lockOwner } from './lock.ts';
export { tensorboardSink } from './logs/tensorboard.ts';
export { checkLogUrl, type UrlReport, urlSink } from './logs/url.ts';
export { makeFolder } from './make-folder.ts';
export {
  createRunFolder,
  type RunFolder,
  readRun,
  readRunCheckpoint,
  readRunMetrics,
  resumeRunFolder,
  runCheckpoints,
} from './run-folder.ts';
export * from './tables/index.ts';
export * from './types.ts';
