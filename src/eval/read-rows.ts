import type { PackedRows } from '../data/types.ts';
import type { SparseCode } from '../sae/types.ts';
import { measuredPositions, type PositionRules } from './positions.ts';
import { gatherRows } from './splice.ts';
import type { EvalModel, ObservedRows } from './types.ts';

/** Runs packed rows through model and SAE as `evaluate` does; for indexing without evaluation and for looking again at single rows. */
export type RowReader = (packed: PackedRows) => Promise<ObservedRows>;

/**
 * @example
 * const read = createRowReader({ model, hook, encode: (x) => encode(sae, x), specialIds: model.tokenizer?.specialIds });
 * for await (const packed of batches) await index.add(await read(packed));
 */
export function createRowReader({
  model,
  hook,
  encode,
  ...rules
}: PositionRules & {
  readonly model: Pick<EvalModel, 'run'>;
  readonly hook: string;
  encode(x: Float32Array, B: number): SparseCode | Promise<SparseCode>;
}): RowReader {
  return async (packed) => {
    const { ids, mask, R, T } = packed;
    const { cache } = await model.run({ ids, mask, B: R, T }, { hooks: [hook] });
    const activations = cache[hook];
    if (activations === undefined) throw new Error(`The model returned no activations for hook ${hook}.`);
    const { positions } = measuredPositions(packed, rules);
    const x = gatherRows(activations, positions);
    return {
      packed,
      positions,
      x,
      code: positions.length === 0 ? undefined : await encode(x, positions.length),
    };
  };
}
