import type { Intervention } from '../models/steering/types.ts';

/**
 * The same changes in some rows of a batch only, so that one run of the model serves several sets of them.
 *
 * @param rows [from, to) of the batch
 * @example
 * const [a, b] = [await steer(model, [one]), await steer(model, [other])];
 * await model.generateBatch([prompt, prompt], { interventions: [...inRows(a, [0, 1]), ...inRows(b, [1, 2])] });
 */
export function inRows(
  interventions: readonly Intervention[],
  rows: readonly [number, number],
): Intervention[] {
  return interventions.map((one) => ({ ...one, rows }));
}
