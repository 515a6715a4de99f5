export * from './blocks.ts';
export * from './reader.ts';
export * from './writer.ts';
