/**
 * Stored activations -> shuffled rows, as a stream that can be stopped and continued at any row.
 *
 *     source -> pools (stored-order.ts) -> batches [B,D]
 *
 * While the rows of one pool are given, the next one is read from disk into a second buffer. Bytes: 4 D shuffleTokens at most; a source
 * that fits is read once and stays. The state is a place, not rows: a continued stream reads its pool again.
 */
import { Interrupted } from '../shared/errors.ts';
import type { ActivationSource } from '../store/index.ts';
import { allFinite, NonFiniteActivations } from './non-finite.ts';
import { createStoredOrder, type Pool, type RowRange, splitRows } from './stored-order.ts';
import type { ResumableStream, StreamPosition } from './stream.ts';
import type { ActivationRows } from './types.ts';

/** Reads on their way at the same time: disks and page caches answer several faster than one. */
const READS_AT_ONCE = 4;

export type StoredStreamOptions = {
  /** Open it with `openActivations`; it stays the caller's to close. */
  readonly source: ActivationSource;
  /** Rows in memory that a batch is drawn from; 0 gives the rows in the order they are stored. */
  readonly shuffleTokens?: number;
  readonly seed?: number | string;
  /** Share of the rows that `part: 'train'` leaves out and `part: 'heldout'` gives; the same rows for every seed. */
  readonly heldout?: number;
  readonly part?: 'train' | 'heldout';
  /** Start again, in another order, when all rows have been given. */
  readonly endless?: boolean;
  /** Read the token ids too, where they are stored; -1 otherwise. */
  readonly withTokens?: boolean;
  /** Stops the reading of the first rows. Later a stop waits for the step: see `state`. */
  readonly signal?: AbortSignal;
};

type Loaded = Pool & {
  readonly x: Float32Array;
  readonly tokens: Int32Array;
  ready: Promise<void>;
  read: number;
};

/** The error for rows of a block that are not finite: the first of them, where it lies, and why most likely. */
function nonFiniteRow(source: ActivationSource, start: number, x: Float32Array): NonFiniteActivations {
  const at = x.findIndex((value) => !Number.isFinite(value));
  const row = start + Math.floor(at / source.D);
  const place = source.where ? `row ${row}: ${source.where(row)}` : `row ${row} of ${source.name}`;
  return new NonFiniteActivations(
    `Activation ${at % source.D} is ${x[at]} (${place}). Infinity in float16 files means overflow (float16 ends at 65,504). Harvest again in float32 or bfloat16, or leave the row out.`,
  );
}

/**
 * Opens a stream over stored activations.
 *
 * @throws when no row is left for the part that is asked for. `next` throws NonFiniteActivations on NaN or Infinity, naming file and row
 * @example
 * const source = await openActivations('activations/');
 * const stream = createStoredStream({ source, heldout: 0.01, seed: 1 });
 * const batch = await stream.next(4096); // { x: [4096, D], … }
 */
export function createStoredStream(options: StoredStreamOptions): ResumableStream {
  const { source, shuffleTokens = 131_072, seed = 0, heldout = 0, part = 'train' } = options;
  const { endless = true, withTokens = false, signal } = options;
  const { D } = source;
  const ranges: readonly RowRange[] = splitRows(source.rows, heldout)[part];
  const order = createStoredOrder(ranges, { shuffleTokens, seed });
  const total = order.rows;
  if (total === 0)
    throw new Error(
      `${source.name}: none of its ${source.rows} rows is left for the ${part} part with a held-out share of ${heldout}. Change the share.`,
    );
  const fingerprint = `${source.fingerprint}/${part}/${heldout}/${shuffleTokens}/${seed}`;
  const stages = { data: 0, model: 0, sae: 0 };

  const slots: { x: Float32Array; tokens: Int32Array }[] = [];
  let epoch = 0;
  /** Rows of this epoch that have been given. */
  let position = 0;
  let current: Loaded | undefined;
  let following: Loaded | undefined;
  let failure: { error: unknown; cursor: StreamPosition['cursor'] } | undefined;
  let started = false;
  let closed = false;

  async function readBlock(pool: Loaded, { start, count }: RowRange, at: number): Promise<void> {
    const x = pool.x.subarray(at * D, (at + count) * D);
    await source.read(start, count, x);
    if (!allFinite(x, 0, x.length)) throw nonFiniteRow(source, start, x);
    if (withTokens && source.readTokens) pool.tokens.set(await source.readTokens(start, count), at);
    pool.read += count;
  }

  async function readPool(pool: Loaded): Promise<void> {
    let next = 0;
    let at = 0;
    const reader = async (): Promise<void> => {
      while (next < pool.blocks.length && !closed) {
        if (!started && signal?.aborted)
          throw new Interrupted('Stopped before the first step; there is nothing to save.');
        const block = pool.blocks[next++]!;
        const place = at;
        at += block.count;
        await readBlock(pool, block, place);
      }
    };
    await Promise.all(Array.from({ length: READS_AT_ONCE }, reader));
  }

  /** Starts reading the pool at a place, into the slot that `beside` does not use. */
  function load(at: { epoch: number; position: number }, beside?: Loaded): Loaded {
    const pool = order.at(at.epoch, at.position);
    if (order.pools === 1 && beside) return { ...beside, ...pool };
    const slot = beside && slots[0]?.x === beside.x ? 1 : 0;
    const { x, tokens } = (slots[slot] ??= {
      x: new Float32Array(order.capacity * D),
      tokens: new Int32Array(order.capacity).fill(-1),
    });
    const loading: Loaded = { ...pool, x, tokens, read: 0, ready: Promise.resolve() };
    loading.ready = readPool(loading);
    // Who needs the rows is told; until then nobody is.
    loading.ready.catch(() => {});
    return loading;
  }

  /** The pool of the present place, read; the one after it is on its way. */
  async function poolHere(): Promise<Loaded> {
    const holds = (pool: Loaded | undefined): boolean =>
      pool?.epoch === epoch && position >= pool.start && position < pool.start + pool.count;
    if (!holds(current)) {
      current = holds(following) ? following : load({ epoch, position });
      following = undefined;
    }
    const pool = current!;
    await pool.ready;
    started = true;
    if (!following) {
      const end = pool.start + pool.count;
      if (end < total) following = load({ epoch, position: end }, pool);
      else if (endless) following = load({ epoch: epoch + 1, position: 0 }, pool);
    }
    return pool;
  }

  const place = (): StreamPosition['cursor'] => ({ epoch, position, offset: 0, fingerprint });

  return {
    D,
    stages,
    get tokensSeen() {
      return epoch * total + (current ? current.start + current.read : position);
    },
    get epochs() {
      return epoch;
    },
    async next(B, into): Promise<ActivationRows | undefined> {
      if (failure) throw failure.error;
      if (!endless && total - position < B) return undefined;
      const begun = performance.now();
      const before = place();
      const x = into ?? new Float32Array(B * D);
      const tokens = new Int32Array(B);
      try {
        for (let b = 0; b < B; ) {
          if (position === total) {
            epoch++;
            position = 0;
          }
          const pool = await poolHere();
          const first = position - pool.start;
          const n = Math.min(B - b, pool.count - first);
          for (let i = 0; i < n; i++, b++) {
            const row = pool.order[first + i]!;
            x.set(pool.x.subarray(row * D, (row + 1) * D), b * D);
            tokens[b] = pool.tokens[row]!;
          }
          position += n;
        }
      } catch (error) {
        failure = { error, cursor: before };
        throw error;
      }
      stages.data += performance.now() - begun;
      return { x, B, D, tokens };
    },
    state: () => {
      const cursor = failure?.cursor ?? place();
      return {
        position: { cursor, tokensSeen: cursor.epoch * total + cursor.position },
        arrays: new Map(),
      };
    },
    restore({ cursor }) {
      if (cursor.fingerprint !== fingerprint)
        throw new Error(
          `The saved position belongs to other activations or settings (saved ${cursor.fingerprint}, now ${fingerprint}: content, part, held-out share, shuffle, seed). Resume with the same, or start a new run.`,
        );
      ({ epoch, position } = cursor);
      current = undefined;
      following = undefined;
      // Reads on their way write into the old ones.
      slots.length = 0;
    },
    /** Waits for reads on their way and gives the memory back; the source stays open. */
    async close() {
      closed = true;
      await Promise.allSettled([current?.ready, following?.ready]);
      current = undefined;
      following = undefined;
      slots.length = 0;
    },
  };
}
