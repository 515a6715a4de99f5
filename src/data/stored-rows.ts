/**
 * Packed rows that lie on disk -> a source of rows like that of `packRows`.
 *
 *     pass 0     the rows in the order in which they were packed, when the seed is that of the packing: the same rows as on the fly
 *     otherwise  shards in shuffled order, rows shuffled within each; another order per seed and pass
 *
 * Rows are given whole; the padding of the last one stays, so an endless pass has a few positions of mask 0 once per pass.
 */
import type { Tokenizer } from '../models/types.ts';
import { documentOrder } from './order.ts';
import type { PackOptions, RowSource } from './pack.ts';
import type { DataCursor, StoredRows } from './types.ts';

/** @throws when context length, BOS or tokenizer are others than those of the rows */
function check(stored: StoredRows, { contextLength: T, bosTokenId: bos, tokenizer }: PackOptions): void {
  const { name } = stored;
  if (stored.T !== T)
    throw new Error(
      `${name} holds rows of ${stored.T} positions, and ${T} are asked for. Use --context-length ${stored.T}, or tokenize again.`,
    );
  if (stored.bosTokenId !== bos)
    throw new Error(
      `${name} was packed with ${stored.bosTokenId === undefined ? 'no BOS' : `BOS ${stored.bosTokenId}`}, and this model has ${bos === undefined ? 'none' : bos}. Tokenize again with this model.`,
    );
  const { hash } = tokenizer as Tokenizer;
  if (hash !== undefined && stored.tokenizerHash !== hash)
    throw new Error(
      `${name} was tokenized with another tokenizer: its tokenizer.json has the sha256 ${stored.tokenizerHash.slice(0, 12)}…, this model's ${hash.slice(0, 12)}…. Tokenize again with this model.`,
    );
}

export function storedRows(options: PackOptions, stored: StoredRows): RowSource {
  check(stored, options);
  const { documents, order: orderKind = 'shuffled', seed = 0, endless = true, cursor: from } = options;
  if (typeof orderKind !== 'string')
    throw new Error(
      `${stored.name} holds packed rows: their documents have no other order. Give the text itself.`,
    );
  const { T, rows: count, blocks } = stored;
  const fingerprint = `${documents.fingerprint}/${orderKind === 'shuffled' ? seed : 'files'}/rows`;
  if (from && from.fingerprint !== fingerprint)
    throw new Error(
      `The saved position belongs to other data or settings (saved ${from.fingerprint}, now ${fingerprint}). Resume with the same folder and seed, or start a new run.`,
    );
  if (count === 0) throw new Error(`The ${documents.name} have no rows. Tokenize more text.`);
  let { epoch, position } = from ?? { epoch: 0, position: 0 };
  let order: ((position: number) => number) | undefined;
  let orderEpoch = -1;

  function rowAt(): number {
    if (orderEpoch !== epoch) {
      const asPacked = orderKind === 'files' || (epoch === 0 && String(seed) === stored.seed);
      order = asPacked ? undefined : documentOrder({ count, blocks }, `${seed}/rows`, epoch);
      orderEpoch = epoch;
    }
    return order ? order(position) : position;
  }

  return {
    T,
    documents,
    async next(wanted) {
      const left = endless ? wanted : epoch > 0 ? 0 : count - position;
      const R = Math.min(wanted, left);
      if (R === 0) return undefined;
      const out = {
        R,
        T,
        ids: new Int32Array(R * T),
        mask: new Uint8Array(R * T),
        documents: new Int32Array(R * T),
        starts: new Int32Array(R * T).fill(-1),
        ends: new Int32Array(R * T).fill(-1),
        ...(stored.roles ? { keep: new Uint8Array(R * T) } : {}),
      };
      for (let r = 0; r < R; r++) {
        const row = await stored.read(rowAt());
        out.ids.set(row.ids, r * T);
        out.mask.set(row.mask, r * T);
        out.documents.set(row.documents, r * T);
        if (row.keep) out.keep?.set(row.keep, r * T);
        if (++position < count) continue;
        position = 0;
        epoch++;
      }
      return out;
    },
    cursor: (): DataCursor => ({ epoch, position, offset: 0, fingerprint }),
    get epochs() {
      return epoch;
    },
  };
}
