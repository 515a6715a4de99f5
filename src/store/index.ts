/** Run folders: locked while written, every file whole or not at all. */

export { readManifest as readActivationsManifest } from './activations/manifest.ts';
export { verifyActivations } from './activations/shards.ts';
export { type LatentCache, openLatentCache } from './activations/sources/delphi.ts';
export { openActivations } from './activations/sources/registry.ts';
export type * from './activations/types.ts';
export {
  createShardWriter,
  type HarvestPlace,
  type ShardWriter,
  storedBytesPerRow,
} from './activations/writer.ts';
export { folderWriter, StorageFull } from './atomic.ts';
export { lockOwner } from './lock.ts';
export { tensorboardSink } from './logs/tensorboard.ts';
export { checkLogUrl, type UrlReport, urlSink } from './logs/url.ts';
export {
  createRunFolder,
  type RunFolder,
  readRun,
  readRunCheckpoint,
  readRunMetrics,
  resumeRunFolder,
  runCheckpoints,
} from './run-folder.ts';
export * from './types.ts';
