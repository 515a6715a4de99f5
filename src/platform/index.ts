export { getPlatform } from './current.ts';
export { fromBytes } from './memory.ts';
export type { ByteFolder, ByteSource, Conversion, HubOrigin, Ort, WorkerPort } from './types.ts';
