export { getPlatform } from './current.ts';
export { fromBytes } from './memory.ts';
export type { ByteFolder, ByteSource, HubOrigin, Ort, WorkerPort } from './types.ts';
