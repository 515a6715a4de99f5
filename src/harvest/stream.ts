/**
 * Model + packed rows + hooks -> shuffled rows of activations, at every hook those of the same tokens.
 *
 *     packed rows [R,T] -> model cut after the last hook -> h [R,T,D] -> keep -> shuffle buffer -> batches [B,D]
 *
 * Which rows are kept says keep.ts. The model always runs on R = `batchSequences` full rows, except for the last rows of finite
 * data: no ragged batches.
 *
 * State for a bit-exact resume: the cursor of the data, the generator, and the rows in the buffer and in the queue before it. The
 * model is deterministic, so the stream goes on with the same bits.
 */
import type { DataCursor, PackedRows, RowSource } from '../data/index.ts';
import { createRng, type RngState } from '../shared/rng.ts';
import { type HarvestModel, hookWidth, keepRows } from './keep.ts';
import { createShuffleBuffer, type RowQueue } from './shuffle.ts';
import type { ActivationRows, ActivationStream } from './types.ts';

export type ActivationStreamOptions = {
  readonly model: HarvestModel;
  readonly hook: string;
  /** Packed rows; endless for training. */
  readonly rows: RowSource;
  /** N of the shuffle buffer; 0 gives the rows in the order of the text. */
  readonly shuffleTokens?: number;
  readonly seed?: number | string;
  /** Leaves out BOS and the tokenizer's special ids. */
  readonly excludeSpecial?: boolean;
  /** Leaves out the first N positions of every packed row. */
  readonly excludeFirst?: number;
  /** Sequences per model run. */
  readonly batchSequences?: number;
};

/** Options of a stream of several hooks from one model run. */
export type ActivationStreamsOptions = Omit<ActivationStreamOptions, 'hook'> & {
  readonly hooks: readonly string[];
};

/** The part of a stream's state that is plain JSON; `state` and `restore` add the arrays. */
export type StreamPosition = {
  readonly cursor: DataCursor;
  /** Of the shuffle buffer; a stored stream has none. */
  readonly rng?: RngState;
  readonly tokensSeen: number;
};
export type StreamArrays = Map<string, Float32Array | Int32Array>;

/** An activation stream that can be stopped and continued. */
export type ResumableStream = ActivationStream & {
  /**
   * Everything for a bit-exact continuation: pass `position.cursor` to `packRows` and both to `restore` of a new stream.
   * The arrays are views of the live buffers: write them before the next call of `next`. After `next` has thrown, this is
   * the state before that call, and the stream gives nothing more.
   */
  state(): { position: StreamPosition; arrays: StreamArrays };
  restore(position: StreamPosition, arrays: StreamArrays): void;
};

/** Rows of the same tokens at several hooks: the draws of a stream of one hook, for all of them at once. */
export type ResumableStreams = Pick<ActivationStream, 'stages' | 'tokensSeen' | 'epochs' | 'close'> & {
  /** D of every hook. */
  readonly widths: readonly number[];
  /** B rows of every hook, `into` arrays [B,D] of the caller's when given; undefined when fewer are left. */
  next(
    B: number,
    into?: readonly Float32Array[],
  ): Promise<{ xs: readonly Float32Array[]; tokens: Int32Array } | undefined>;
  /**
   * Runs the model for the next B rows already, so that they come at once when they are asked for. Never changes a bit of them. Settled
   * before `state` or `next` is called.
   */
  prepare(B: number): Promise<void>;
  /** As of a stream of one hook, with arrays for each: the state of hook k alone is that of a stream of hook k. */
  state(): { position: StreamPosition; arrays: StreamArrays[] };
  restore(position: StreamPosition, arrays: readonly StreamArrays[]): void;
};

/**
 * Opens a stream of shuffled activation rows.
 *
 * @throws when the hook is unknown (nearest names) or gives no [B,T,D], when nothing would be left to train on. `next`
 *   throws NonFiniteActivations on NaN or Infinity, naming hook, document and likely cause
 * @example
 * const stream = createActivationStream({ model, hook: 'blocks.3.hook_resid_post', rows: packRows({ … }) });
 * const batch = await stream.next(4096); // { x: [4096, D], tokens: [4096], … }
 */
export function createActivationStream({ hook, ...options }: ActivationStreamOptions): ResumableStream {
  const streams = createActivationStreams({ ...options, hooks: [hook] });
  const D = streams.widths[0]!;
  return {
    D,
    stages: streams.stages,
    get tokensSeen() {
      return streams.tokensSeen;
    },
    get epochs() {
      return streams.epochs;
    },
    async next(B, into): Promise<ActivationRows | undefined> {
      const rows = await streams.next(B, into && [into]);
      return rows && { x: rows.xs[0]!, B, D, tokens: rows.tokens };
    },
    state() {
      const { position, arrays } = streams.state();
      return { position, arrays: arrays[0]! };
    },
    restore: (position, arrays) => streams.restore(position, [arrays]),
    close: streams.close,
  };
}

/** Opens a stream of several hooks that share every model run. Throws as `createActivationStream` does. */
export function createActivationStreams(options: ActivationStreamsOptions): ResumableStreams {
  const { model, hooks, rows, shuffleTokens = 131_072, seed = 0 } = options;
  const { excludeSpecial = true, excludeFirst = 0, batchSequences = 8 } = options;
  const widths = hooks.map((hook) => hookWidth(model, hook));
  const { T } = rows;
  const run = keepRows({ model, hooks, T, documents: rows.documents, excludeSpecial, excludeFirst });

  const rng = createRng(`${seed}/shuffle`);
  const buffer = createShuffleBuffer(shuffleTokens, widths, rng);
  const stages = { data: 0, model: 0, sae: 0 };
  /** Rows that one model run may keep. */
  const room = batchSequences * T;
  const newQueue = (count: number): RowQueue => ({
    xs: widths.map((D) => new Float32Array(count * D)),
    tokens: new Int32Array(count),
    count: 0,
    next: 0,
  });
  let queue = newQueue(room);
  let tokensSeen = 0;
  let ended = false;
  /** The error that ended the stream, and the data position before the rows it came from. */
  let failure: { error: unknown; cursor: DataCursor } | undefined;
  /** Epoch at which rows were last kept: a whole epoch without any is an endless loop. */
  let epochOfLastRow = rows.epochs;

  /** Moves the waiting rows to the front of the queue and makes room for those of one model run behind them. */
  function makeRoom(): void {
    const { xs, tokens, count, next } = queue;
    const waiting = count - next;
    if (waiting + room > tokens.length) queue = newQueue(waiting + room);
    for (const [k, D] of widths.entries()) queue.xs[k]!.set(xs[k]!.subarray(next * D, count * D));
    queue.tokens.set(tokens.subarray(next, count));
    queue.count = waiting;
    queue.next = 0;
  }

  /** Runs the model on the next rows and appends what is kept to the queue, all or nothing. */
  async function refill(): Promise<void> {
    if (failure) throw failure.error;
    const started = performance.now();
    const cursor = rows.cursor();
    const packed = await rows.next(batchSequences);
    stages.data += performance.now() - started;
    if (!packed) {
      ended = true;
      return;
    }
    makeRoom();
    const before = queue.count;
    try {
      await append(packed);
    } catch (error) {
      queue.count = before;
      failure = { error, cursor };
      throw error;
    }
    const kept = queue.count - before;
    tokensSeen += kept;
    if (kept > 0) epochOfLastRow = rows.epochs;
    else if (rows.epochs > epochOfLastRow + 1) {
      throw new Error(
        `A whole pass over the ${rows.documents.name} (${rows.documents.count} documents) left no token to train on: all documents are too short for excludeFirst ${excludeFirst}, or hold special tokens only. Lower excludeFirst or add text.`,
      );
    }
  }

  async function append(packed: PackedRows): Promise<void> {
    const started = performance.now();
    const { places, h } = await run(packed, tokensSeen);
    for (const i of places) {
      for (const [k, D] of widths.entries())
        queue.xs[k]!.set(h[k]!.subarray(i * D, (i + 1) * D), queue.count * D);
      queue.tokens[queue.count++] = packed.ids[i]!;
    }
    stages.model += performance.now() - started;
  }

  /** Refills until `count` rows wait, or the data has ended. */
  async function ensureQueue(count: number): Promise<void> {
    while (queue.count - queue.next < count && !ended) await refill();
  }

  /** Everything that B draws need. All fresh rows come before the first draw: when the model fails, no row has been taken. */
  async function prepare(B: number): Promise<void> {
    while (buffer.filled < buffer.capacity) {
      await ensureQueue(1);
      if (queue.next === queue.count) break;
      buffer.fill(queue);
    }
    await ensureQueue(B);
  }

  return {
    widths,
    stages,
    get tokensSeen() {
      return tokensSeen;
    },
    get epochs() {
      return rows.epochs;
    },
    prepare,
    async next(B, into) {
      await prepare(B);
      if (buffer.filled + queue.count - queue.next < B) return undefined;
      const xs = into ?? widths.map((D) => new Float32Array(B * D));
      const tokens = new Int32Array(B);
      for (let b = 0; b < B; b++) {
        if (buffer.filled > 0) buffer.draw(queue, xs, tokens, b);
        else {
          for (const [k, D] of widths.entries())
            xs[k]!.set(queue.xs[k]!.subarray(queue.next * D, (queue.next + 1) * D), b * D);
          tokens[b] = queue.tokens[queue.next++]!;
        }
      }
      return { xs, tokens };
    },
    state() {
      const held = buffer.rows();
      const { next, count } = queue;
      return {
        position: { cursor: failure?.cursor ?? rows.cursor(), rng: rng.state(), tokensSeen },
        arrays: widths.map(
          (D, k) =>
            new Map<string, Float32Array | Int32Array>([
              ['buffer.x', held.xs[k]!],
              ['buffer.tokens', held.tokens],
              ['queue.x', queue.xs[k]!.subarray(next * D, count * D)],
              ['queue.tokens', queue.tokens.subarray(next, count)],
            ]),
        ),
      };
    },
    restore(position, arrays) {
      const take = <A extends Float32Array | Int32Array>(
        from: StreamArrays,
        name: string,
        type: new (n: number) => A,
      ): A => {
        const array = from.get(name);
        if (!(array instanceof type)) throw new Error(`The saved stream has no ${type.name} ${name}`);
        return array;
      };
      const [first] = arrays;
      const queueTokens = take(first!, 'queue.tokens', Int32Array);
      const queueXs = arrays.map((of) => take(of, 'queue.x', Float32Array));
      for (const [k, x] of queueXs.entries())
        if (x.length !== queueTokens.length * widths[k]!)
          throw new Error(
            `The saved stream has ${queueTokens.length} rows waiting (${x.length} numbers); rows of this hook have width ${widths[k]}. Resume with the same model and hook.`,
          );
      if (!position.rng)
        throw new Error('The saved position is of stored activations, not of a model stream.');
      buffer.restore(
        arrays.map((of) => take(of, 'buffer.x', Float32Array)),
        take(first!, 'buffer.tokens', Int32Array),
      );
      queue = {
        xs: queueXs.map((x) => x.slice()),
        tokens: queueTokens.slice(),
        count: queueTokens.length,
        next: 0,
      };
      rng.restore(position.rng);
      tokensSeen = position.tokensSeen;
      ended = false;
    },
    /** Gives the memory of the buffer back; a closed stream gives nothing more. */
    async close() {
      buffer.clear();
      queue = newQueue(0);
      failure ??= { error: new Error('The stream was closed.'), cursor: rows.cursor() };
    },
  };
}
