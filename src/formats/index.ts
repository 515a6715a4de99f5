export * from './float16.ts';
export * from './safetensors.ts';
