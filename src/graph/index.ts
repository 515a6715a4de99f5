export * from './builder.ts';
export * from './cut.ts';
export * from './decode.ts';
export * from './encode.ts';
export * from './session.ts';
export * from './skeleton.ts';
export * from './steering-bus.ts';
export * from './types.ts';
