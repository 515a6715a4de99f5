export { type InterventionSpec, steer } from './steer.ts';
