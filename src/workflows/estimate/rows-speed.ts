/** Milliseconds per training row on this machine, by stage: from the source itself, model and data included, for a second or two. */

import { nextRows } from '../training/loop.ts';
import type { TrainingRows } from '../training/source.ts';

export type RowsSpeed = {
  /** Reading, tokenizing, packing; stored rows are all of it. */
  readonly data: number;
  readonly model: number;
};

const ENOUGH_MS = 2000;
const LEAST_BATCHES = 2;
/** Rows before the clock starts: the session opens, and tokenizing is compiled, which is twice as slow before. */
const WARM_UP_ROWS = 16_384;

export async function rowsSpeed(
  rows: TrainingRows,
  B: number,
  signal: AbortSignal | undefined,
): Promise<RowsSpeed> {
  const xs = await nextRows(rows, B);
  const opened = performance.now();
  for (let seen = B; seen < WARM_UP_ROWS && performance.now() - opened < ENOUGH_MS; seen += B)
    await nextRows(rows, B, xs);
  const seen = rows.tokensSeen;
  const { data, model } = rows.stages;
  const begun = performance.now();
  let batches = 0;
  for (; batches < LEAST_BATCHES || performance.now() - begun < ENOUGH_MS; batches++) {
    signal?.throwIfAborted();
    await nextRows(rows, B, xs);
  }
  const spent = { data: rows.stages.data - data, model: rows.stages.model - model };
  // A model's rows come in runs of their own size; stored rows are read ahead by the pool, and counted as they are taken.
  const count = spent.model > 0 ? Math.max(1, rows.tokensSeen - seen) : batches * B;
  return { data: spent.data / count, model: spent.model / count };
}
