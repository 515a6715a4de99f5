export * from './arrow.ts';
export * from './float16.ts';
export * from './latent-cache.ts';
export * from './npy.ts';
export * from './parquet.ts';
export * from './rows.ts';
export * from './safetensors.ts';
export * from './zip.ts';
