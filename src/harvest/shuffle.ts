/**
 * Shuffle buffer: N rows of activations from which rows are drawn at random.
 *
 *     fill   until N rows are in, or the data has ended
 *     draw   j = rng.int(N); give row j; the next fresh row takes its place   (the last row does, once data has ended)
 *
 * Every row is given exactly once. A row stays N draws on average (geometrically), so a batch of B << N rows mixes rows from all the
 * documents of about the last N tokens, where neighbours in the text would make up the batch otherwise. Bytes: 4 N D.
 */
import type { Rng } from '../shared/rng.ts';

/** Fresh rows that wait to enter the buffer: [count,D] and their token ids, read from `next` on. */
export type RowQueue = { x: Float32Array; tokens: Int32Array; count: number; next: number };

export type ShuffleBuffer = {
  readonly capacity: number;
  /** Rows held now. */
  readonly filled: number;
  /** Takes rows from the queue while there is room. */
  fill(queue: RowQueue): void;
  /**
   * Moves one random row to row `b` of `x` and `tokens`; the first row of the queue takes its place, or the last row of
   * the buffer when the queue is empty.
   */
  draw(queue: RowQueue, x: Float32Array, tokens: Int32Array, b: number): void;
  /** Views of the rows held, valid until the next call. */
  rows(): { x: Float32Array; tokens: Int32Array };
  restore(x: Float32Array, tokens: Int32Array): void;
};

/** Creates an empty buffer of `capacity` rows of width D. */
export function createShuffleBuffer(capacity: number, D: number, rng: Rng): ShuffleBuffer {
  const held = new Float32Array(capacity * D);
  const heldTokens = new Int32Array(capacity);
  let filled = 0;
  return {
    capacity,
    get filled() {
      return filled;
    },
    fill(queue) {
      const n = Math.min(capacity - filled, queue.count - queue.next);
      held.set(queue.x.subarray(queue.next * D, (queue.next + n) * D), filled * D);
      heldTokens.set(queue.tokens.subarray(queue.next, queue.next + n), filled);
      queue.next += n;
      filled += n;
    },
    draw(queue, x, tokens, b) {
      const j = rng.int(filled);
      x.set(held.subarray(j * D, (j + 1) * D), b * D);
      tokens[b] = heldTokens[j]!;
      if (queue.next < queue.count) {
        held.set(queue.x.subarray(queue.next * D, (queue.next + 1) * D), j * D);
        heldTokens[j] = queue.tokens[queue.next]!;
        queue.next++;
      } else {
        filled--;
        held.copyWithin(j * D, filled * D, (filled + 1) * D);
        heldTokens[j] = heldTokens[filled]!;
      }
    },
    rows: () => ({ x: held.subarray(0, filled * D), tokens: heldTokens.subarray(0, filled) }),
    restore(x, tokens) {
      if (tokens.length > capacity || x.length !== tokens.length * D) {
        throw new Error(
          `The saved shuffle buffer holds ${tokens.length} rows (${x.length} numbers); this run has room for ${capacity} rows of width ${D}. Resume with the same shuffleTokens.`,
        );
      }
      held.set(x);
      heldTokens.set(tokens);
      filled = tokens.length;
    },
  };
}
