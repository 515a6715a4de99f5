/**
 * Shuffle buffer: N rows of activations from which rows are drawn at random.
 *
 *     fill   until N rows are in, or the data has ended
 *     draw   j = rng.int(N); give row j; the next fresh row takes its place   (the last row does, once data has ended)
 *
 * Every row is given exactly once. A row stays N draws on average (geometrically), so a batch of B << N rows mixes rows from all the
 * documents of about the last N tokens, where neighbours in the text would make up the batch otherwise. Rows of several hooks move
 * together: one j for all. Bytes: 4 N (D_1 + D_2 + …).
 */
import type { Rng } from '../shared/rng.ts';

/** Fresh rows that wait to enter the buffer: [count,D] of every hook and their token ids, read from `next` on. */
export type RowQueue = { xs: Float32Array[]; tokens: Int32Array; count: number; next: number };

export type ShuffleBuffer = {
  readonly capacity: number;
  /** Rows held now. */
  readonly filled: number;
  /** Takes rows from the queue while there is room. */
  fill(queue: RowQueue): void;
  /**
   * Moves one random row to row `b` of every x and of `tokens`; the first row of the queue takes its place, or the last row of
   * the buffer when the queue is empty.
   */
  draw(queue: RowQueue, xs: readonly Float32Array[], tokens: Int32Array, b: number): void;
  /** Views of the rows held, valid until the next call. */
  rows(): { xs: Float32Array[]; tokens: Int32Array };
  restore(xs: readonly Float32Array[], tokens: Int32Array): void;
  /** Gives the memory back; the buffer cannot be used after that. */
  clear(): void;
};

/** Creates an empty buffer of `capacity` rows, of these widths D. */
export function createShuffleBuffer(capacity: number, widths: readonly number[], rng: Rng): ShuffleBuffer {
  const held = widths.map((D) => new Float32Array(capacity * D));
  const heldTokens = new Int32Array(capacity);
  let filled = 0;
  return {
    capacity,
    get filled() {
      return filled;
    },
    fill(queue) {
      const n = Math.min(capacity - filled, queue.count - queue.next);
      for (const [k, D] of widths.entries())
        held[k]!.set(queue.xs[k]!.subarray(queue.next * D, (queue.next + n) * D), filled * D);
      heldTokens.set(queue.tokens.subarray(queue.next, queue.next + n), filled);
      queue.next += n;
      filled += n;
    },
    draw(queue, xs, tokens, b) {
      const j = rng.int(filled);
      const fresh = queue.next < queue.count;
      if (!fresh) filled--;
      for (const [k, D] of widths.entries()) {
        const rows = held[k]!;
        xs[k]!.set(rows.subarray(j * D, (j + 1) * D), b * D);
        if (fresh) rows.set(queue.xs[k]!.subarray(queue.next * D, (queue.next + 1) * D), j * D);
        else rows.copyWithin(j * D, filled * D, (filled + 1) * D);
      }
      tokens[b] = heldTokens[j]!;
      heldTokens[j] = fresh ? queue.tokens[queue.next++]! : heldTokens[filled]!;
    },
    rows: () => ({
      xs: held.map((rows, k) => rows.subarray(0, filled * widths[k]!)),
      tokens: heldTokens.subarray(0, filled),
    }),
    restore(xs, tokens) {
      for (const [k, D] of widths.entries()) {
        const x = xs[k]!;
        if (tokens.length > capacity || x.length !== tokens.length * D)
          throw new Error(
            `The saved shuffle buffer holds ${tokens.length} rows (${x.length} numbers); this run has room for ${capacity} rows of width ${D}. Resume with the same shuffleTokens.`,
          );
        held[k]!.set(x);
      }
      heldTokens.set(tokens);
      filled = tokens.length;
    },
    clear() {
      held.fill(new Float32Array(0));
      filled = 0;
    },
  };
}
