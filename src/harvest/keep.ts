/**
 * One model run -> the rows that are kept, at several hooks.
 *
 *     packed rows [R,T] -> model cut after the last hook -> h [R,T,D] at each -> keep -> rows [n,D]
 *
 * Kept are positions that hold a token (never padding), that the data asks for (`keep`, of conversations), that are not special
 * tokens (BOS, EOS, …: their activations are huge and the same everywhere), and that are not among the first `excludeFirst`
 * positions of their row.
 */
import type { DocumentSet, PackedRows } from '../data/index.ts';
import type { HookInfo, Model } from '../models/types.ts';
import { nearestNames } from '../shared/nearest.ts';
import { allFinite, nonFinite } from './non-finite.ts';

export type HarvestModel = Pick<Model, 'info' | 'hooks' | 'tokenizer' | 'run'>;

export type KeepOptions = {
  readonly model: HarvestModel;
  readonly hooks: readonly string[];
  /** T, positions per packed row. */
  readonly T: number;
  readonly documents: DocumentSet;
  /** Leaves out BOS and the tokenizer's special ids. */
  readonly excludeSpecial?: boolean;
  /** Leaves out the first N positions of every packed row. */
  readonly excludeFirst?: number;
};

export type KeptRows = {
  /** Places r T + t of the kept positions, ascending. */
  readonly places: readonly number[];
  /** Activations of every hook, [R,T,D], kept or not. */
  readonly h: readonly Float32Array[];
};

/** Whether a hook gives heads side by side, as hook_z [B,T,H,headDim] does. */
export const isByHead = ({ dims }: Pick<HookInfo, 'dims'>): boolean => dims.length === 4 && dims[1] === 'T';

/** D at a hook; of hook_z [B,T,H,headDim] H headDim, as it lies in memory. Throws when the model has no such hook (nearest names), or it gives no vector per token. */
export function hookWidth({ hooks, info }: Pick<HarvestModel, 'hooks' | 'info'>, hook: string): number {
  const found = hooks.find(({ name }) => name === hook);
  if (!found) {
    const names = hooks.map(({ name }) => name);
    const near = nearestNames(hook, names);
    throw new Error(
      `${info.name} has no hook ${hook}. ${near.length > 0 ? `Nearest: ${near.join(', ')}.` : `It has ${names.slice(0, 6).join(', ')}, …`}`,
    );
  }
  if (isByHead(found)) return Number(found.dims[2]) * found.width;
  if (found.dims.length !== 3) {
    const usable = hooks.filter((one) => one.dims.length === 3 || isByHead(one)).map(({ name }) => name);
    throw new Error(
      `Hook ${hook} gives [${found.dims.join(',')}]; an SAE needs one vector per token, [B,T,D]. Nearest that do: ${nearestNames(hook, usable).join(', ') || usable.slice(0, 4).join(', ')}.`,
    );
  }
  return found.width;
}

/**
 * Returns a function that runs the model on packed rows. It throws NonFiniteActivations on NaN or Infinity in a kept row, naming hook,
 * document and likely cause; `tokensSeen` is for that message.
 */
export function keepRows({
  model,
  hooks,
  T,
  documents,
  excludeSpecial = true,
  excludeFirst = 0,
}: KeepOptions): (packed: PackedRows, tokensSeen: number) => Promise<KeptRows> {
  const widths = hooks.map((hook) => hookWidth(model, hook));
  if (excludeFirst >= T)
    throw new RangeError(
      `excludeFirst ${excludeFirst} leaves nothing of rows of ${T} positions; it must be smaller than the context length`,
    );
  const special = new Set(excludeSpecial ? model.tokenizer?.specialIds : []);
  if (excludeSpecial && model.info.bosTokenId !== undefined) special.add(model.info.bosTokenId);

  return async ({ ids, mask, keep, R, documents: from }, tokensSeen) => {
    const { cache } = await model.run({ ids, mask, B: R, T }, { hooks });
    const places: number[] = [];
    for (let i = 0; i < R * T; i++)
      if (mask[i] !== 0 && keep?.[i] !== 0 && i % T >= excludeFirst && !special.has(ids[i]!)) places.push(i);
    const h: Float32Array[] = [];
    for (const [k, hook] of hooks.entries()) {
      const D = widths[k]!;
      const found = cache[hook];
      if (!found || found.data.length !== R * T * D)
        throw new Error(
          `${model.info.name} returned ${found ? `[${found.dims.join(',')}]` : 'nothing'} for ${hook}, expected [${R},${T},${D}]`,
        );
      const { data } = found;
      const bad = places.find((i) => !allFinite(data, i * D, (i + 1) * D));
      if (bad !== undefined) {
        let count = 0;
        for (let j = 0; j < R * T; j++) if (!allFinite(data, j * D, (j + 1) * D)) count++;
        const document = (await documents.get(from[bad]!)).id;
        const shareBad = count / (R * T);
        const where = { hook, document, position: bad % T, tokensSeen, shareBad };
        throw nonFinite(data, bad * D, (bad + 1) * D, where);
      }
      h.push(data);
    }
    return { places, h };
  };
}
