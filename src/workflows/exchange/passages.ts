/** Passages around the examples of a latent, as other programs want them: token texts and activations, nothing cut out in between. */

import { join } from 'node:path';
import type { HubAccess } from '../../hub/types.ts';
import { openModel } from '../../models/index.ts';
import type { Model } from '../../models/types.ts';
import { UsageError } from '../../shared/errors.ts';
import { type ExampleRow, type FeatureTables, type LatentRow, openFeatureTables } from '../../store/index.ts';
import { findTarget } from '../evaluate-sae.ts';
import { hubAccess } from '../hub.ts';
import type { Own } from '../resources.ts';
import { wholeCharacters } from '../snippets.ts';

/** Tokens before and after the peak. */
const [BEFORE, AFTER] = [48, 15];

export type Passage = {
  readonly kind: ExampleRow['kind'];
  readonly rank: number;
  readonly value: number;
  readonly tokens: readonly string[];
  readonly ids: readonly number[];
  readonly values: readonly number[];
  /** Place of the peak in `tokens`. */
  readonly peak: number;
  readonly document: number;
};

export type Exported = {
  readonly tables: FeatureTables;
  readonly model: Model;
  readonly modelName: string;
  readonly hook: string;
  readonly F: number;
  passages(row: LatentRow): Promise<Passage[]>;
  names(ids: readonly number[]): string[];
};

/** Opens the tables of a run and the tokenizer behind their text. @throws UsageError when there are no tables, or of directions */
export async function openExported(run: string, own: Own, access: HubAccess): Promise<Exported> {
  const tables = own(await openFeatureTables(join(run, 'features')));
  if (tables.manifest.names)
    throw new UsageError(`${run}: these are tables of directions, which other programs have no place for.`);
  const target = await findTarget({ sae: run, data: ['-'] }, hubAccess(access));
  const model = own(await openModel(target.model, hubAccess(access)));
  const { tokenizer } = model;
  if (!tokenizer) throw new UsageError(`${target.model} has no tokenizer.json, so passages have no text.`);
  const { contextLength: T, hook, F } = tables.manifest;
  const text = await tables.text(0, tables.manifest.positions);
  return {
    ...{ tables, model, modelName: target.model, hook, F },
    names: (ids) => tokenizer.tokenStrings(ids),
    async passages(row) {
      const fired = await tables.activations(row.latent);
      const valueAt = new Map(Array.from(fired.at, (at, i) => [at, fired.values[i]!]));
      return (await tables.examples(row.latent)).map(({ kind, rank, value, at }) => {
        const sequence = at - (at % T);
        const owner = text.documents[at]!;
        let [from, to] = [at, at + 1];
        while (from > Math.max(sequence, at - BEFORE) && text.documents[from - 1] === owner) from--;
        while (to < Math.min(sequence + T, at + AFTER + 1) && text.documents[to] === owner) to++;
        const ids = [...text.ids.subarray(from, to)];
        return {
          ...{ kind, rank, value, ids, peak: at - from, document: owner },
          tokens: wholeCharacters(tokenizer, ids),
          values: ids.map((_, i) => valueAt.get(from + i) ?? 0),
        };
      });
    },
  };
}
