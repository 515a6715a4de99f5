/**
 * Packed rows -> the rows that are kept, at several hooks -> shards on disk, one writer per hook.
 *
 *     packed rows [R,T] -> one model run -> h [R,T,D] at each hook -> keep -> rows n, n + 1, … -> every writer
 *
 * Kept rows are numbered from the beginning of the data, and each run begins where `batchSequences` divides the packed rows. So a
 * harvest that was stopped goes on before the run that holds the first row that any writer lacks: the same runs, the same bits. All
 * hooks are read in every run, also those that have all their rows: another cut of the graph could round otherwise.
 */
import type { DataCursor, DocumentSet, RowSource } from '../data/index.ts';
import { BeyondFloat16, type HarvestPlace, type ShardWriter } from '../store/index.ts';
import { type HarvestModel, type KeepOptions, type KeptRows, keepRows } from './keep.ts';

export type ToDiskOptions = Pick<KeepOptions, 'excludeSpecial' | 'excludeFirst'> & {
  readonly model: HarvestModel;
  readonly hooks: readonly string[];
  /** One per hook, in the same order. */
  readonly writers: readonly ShardWriter[];
  /** Packed rows from a place on. They are read until they end, or have begun again. */
  readonly open: (cursor?: DataCursor) => RowSource;
  /** Rows to store. */
  readonly tokens: number;
  /** Sequences per model run. */
  readonly batchSequences: number;
  /** Looked at between two model runs. */
  readonly signal?: AbortSignal;
  /** After every run: rows taken so far, those of an earlier run of the command included. */
  readonly onRows?: (rows: number) => void;
};

/**
 * Harvests into the writers' folders until they have `tokens` rows or the data ends; `stopped` when the signal was raised before.
 *
 * @throws NonFiniteActivations and BeyondFloat16, naming hook, document and position; StorageFull; when no row is kept of all the data
 */
export async function harvestToDisk(options: ToDiskOptions): Promise<'finished' | 'stopped'> {
  const { hooks, writers, open, tokens, batchSequences, signal, onRows = () => {} } = options;
  const lacking = writers.filter(({ finished }) => !finished);
  if (lacking.length === 0) return 'finished';
  const behind = lacking.reduce((least, writer) => (writer.rows < least.rows ? writer : least));
  const from: Partial<HarvestPlace> = behind.place ?? {};
  const source = open(from.cursor as DataCursor | undefined);
  const { documents, T } = source;
  const run = keepRows({ ...options, T, documents });
  /** Number of the next run's first row. */
  let taken = behind.rows - (from.skip ?? 0);

  for (;;) {
    if (signal?.aborted) return 'stopped';
    const place: HarvestPlace = { cursor: source.cursor(), skip: 0 };
    // A mixture does not end: it is through when the last of its parts begins again.
    const packed = taken < tokens && source.epochs === 0 ? await source.next(batchSequences) : undefined;
    if (!packed) {
      if (taken === 0) throw nothingKept(documents, options);
      for (const writer of lacking) await writer.finish(place);
      return 'finished';
    }
    const { places, h } = await run(packed, taken);
    const kept = places.slice(0, tokens - taken);
    const about = {
      tokens: Int32Array.from(kept, (i) => packed.ids[i]!),
      documents: Int32Array.from(kept, (i) => packed.documents[i]!),
      positions: Int32Array.from(kept, (i) => i % T),
    };
    for (const [k, writer] of writers.entries()) {
      if (writer.finished) continue;
      const x = gather(h[k]!, kept, h[k]!.length / (packed.R * T));
      await writer.append(taken, { x, ...about }, place).catch(async (error: unknown) => {
        if (!(error instanceof BeyondFloat16)) throw error;
        const { id } = await documents.get(about.documents[error.row]!);
        error.message = `${hooks[k]}, document ${id}, position ${about.positions[error.row]} of its row: ${error.message}`;
        throw error;
      });
    }
    taken += kept.length;
    onRows(taken);
  }
}

/** Rows of h [R T,D] at these places. */
function gather(h: Float32Array, places: KeptRows['places'], D: number): Float32Array {
  const x = new Float32Array(places.length * D);
  for (const [row, i] of places.entries()) x.set(h.subarray(i * D, (i + 1) * D), row * D);
  return x;
}

const nothingKept = ({ name, count }: DocumentSet, { excludeFirst = 0 }: ToDiskOptions): Error =>
  new Error(
    `The ${name} (${count} documents) leave no token to store: all are too short for excludeFirst ${excludeFirst}, hold special tokens only, or have none of the roles. Lower excludeFirst or add text.`,
  );
