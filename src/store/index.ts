/** Run folders: locked while written, every file whole or not at all. */

export { folderWriter, StorageFull, writeAtomic, writeJson } from './atomic.ts';
export { type LockOwner, lockOwner } from './lock.ts';
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
