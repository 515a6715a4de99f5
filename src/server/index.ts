export { type RunningServer, type ServeOptions, serve } from './serve.ts';
export { type ServedMcp, serveMcp } from './stdio.ts';
