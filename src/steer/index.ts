export { randomised } from './control.ts';
export { inRows } from './rows.ts';
export { type InterventionSpec, steer } from './steer.ts';
export { encodeVector, readVector, type SteeringVector } from './vector-file.ts';
export {
  createVector,
  directionOf,
  type VectorMethod,
  type VectorOptions,
  vectorMethods,
} from './vectors.ts';
