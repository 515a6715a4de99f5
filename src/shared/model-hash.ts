/**
 * Which model: `STRUCTURE-WEIGHTS`, both in hexadecimal.
 *
 *     STRUCTURE   sha256 over the config, names, sizes and headers of the weight files
 *     WEIGHTS     the beginning of a sha256 over a piece of every tensor
 *
 * Files that were written before weights were looked at say STRUCTURE alone; it is all that can be compared with them.
 */
export function sameModel(a: string | undefined, b: string | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  const [[structureA, weightsA], [structureB, weightsB]] = [a.split('-'), b.split('-')];
  if (structureA !== structureB) return false;
  return weightsA === undefined || weightsB === undefined || weightsA === weightsB;
}

/** For messages; two models have two. */
export function shortHash(hash: string): string {
  const [structure = '', weights] = hash.split('-');
  return `${structure.slice(0, 12)}…${weights === undefined ? '' : weights.slice(0, 8)}`;
}
