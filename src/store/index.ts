/** Run folders: locked while written, every file whole or not at all. */

export { folderWriter, StorageFull } from './atomic.ts';
export { lockOwner } from './lock.ts';
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
