export { getPlatform, setPlatform } from './current.ts';
export { fromBytes } from './memory.ts';
export type { ByteFolder, ByteSource, Ort, Platform, WorkerHandle, WorkerPort } from './types.ts';
