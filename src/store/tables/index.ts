export * from './blocks.ts';
export * from './reader.ts';
export * from './row-groups.ts';
export * from './writer.ts';
