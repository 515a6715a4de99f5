/** Milliseconds per training row on this machine, by stage: from the source itself, model and data included. */
import { nextRows } from '../training/loop.ts';
import type { TrainingRows } from '../training/source.ts';

export type RowsSpeed = {
  /** Reading, tokenizing, packing; stored rows are all of it. */
  readonly data: number;
  readonly model: number;
};

export type RowsMeter = {
  /** The next B rows of every hook, in arrays that are used again; of a slow source the same ones again, once its speed is known. */
  next(): Promise<readonly Float32Array[]>;
  /** Makes the next B rows ready; they are what `next` gives. */
  prepare(): Promise<void>;
  /** Of the rows taken since the warm-up. */
  speed(): RowsSpeed;
};

const WARM_UP_MS = 2000;
/** Rows before the clock starts: the session opens, and tokenizing is compiled, which is twice as slow before. */
const WARM_UP_ROWS = 16_384;
/** Of reading after the warm-up: a model that takes seconds for a batch would be run a dozen times for the trainer's steps. */
const ENOUGH_MS = 5000;

/** Warms the source up, then counts. */
export async function meterRows(
  rows: TrainingRows,
  B: number,
  signal: AbortSignal | undefined,
): Promise<RowsMeter> {
  const { xs } = await nextRows(rows, B);
  const opened = performance.now();
  for (let seen = B; seen < WARM_UP_ROWS && performance.now() - opened < WARM_UP_MS; seen += B) {
    signal?.throwIfAborted();
    await nextRows(rows, B, xs);
  }
  const before = { ...rows.stages, seen: rows.tokensSeen };
  let batches = 0;
  let last = xs;
  let spent = 0;
  let ready = false;
  return {
    async next() {
      if (!ready && spent > ENOUGH_MS) return last;
      const started = performance.now();
      last = (await nextRows(rows, B, xs)).xs;
      spent += performance.now() - started;
      batches++;
      ready = false;
      return last;
    },
    async prepare() {
      ready = true;
      await rows.prepare(B);
    },
    speed() {
      const data = rows.stages.data - before.data;
      const model = rows.stages.model - before.model;
      // A model's rows come in runs of their own size; stored rows are read ahead by the pool, and counted as they are taken.
      const count = Math.max(1, model > 0 ? rows.tokensSeen - before.seen : batches * B);
      return { data: data / count, model: model / count };
    },
  };
}
