/** Activations that are NaN or infinite: where, and why most likely. */

/** Thrown by a stream; training must stop, its last state is good. */
export class NonFiniteActivations extends Error {
  override readonly name = 'NonFiniteActivations';
}

/** Whether every number of x[from, to) is finite. One pass, no branch per element. */
export function allFinite(x: Float32Array, from: number, to: number): boolean {
  // NaN and Infinity survive a sum, and no float64 sum of float32 numbers overflows. Four sums, because one would wait for itself.
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  let i = from;
  for (; i + 3 < to; i += 4) {
    s0 += x[i]!;
    s1 += x[i + 1]!;
    s2 += x[i + 2]!;
    s3 += x[i + 3]!;
  }
  for (; i < to; i++) s0 += x[i]!;
  return Number.isFinite(s0 + s1 + s2 + s3);
}

/** The error for row x[from, to), saying what is known. `shareBad` is the share of rows of the batch that are bad. */
export function nonFinite(
  x: Float32Array,
  from: number,
  to: number,
  {
    hook,
    document,
    position,
    tokensSeen,
    shareBad,
  }: {
    hook: string;
    document: string;
    position: number;
    tokensSeen: number;
    shareBad: number;
  },
): NonFiniteActivations {
  const row = x.subarray(from, to);
  const bad = row.findIndex((v) => !Number.isFinite(v));
  const value = row[bad]!;
  const overflow = row.some((v) => v === Number.POSITIVE_INFINITY || v === Number.NEGATIVE_INFINITY);
  const cause = overflow
    ? 'Infinity means overflow: weights or sums beyond the range of their number format (float16 ends at 65,504). Use the model in float32 or bfloat16.'
    : tokensSeen === 0 && shareBad > 0.5
      ? 'Most rows of the first batch are NaN, so the weights themselves probably hold NaN or Infinity: a damaged or badly converted checkpoint. Download or convert it again.'
      : 'Earlier activations were finite, so this text probably drives a sum to overflow (float16 ends at 65,504), and Infinity - Infinity is NaN. Use the model in float32 or bfloat16, or leave this document out.';
  return new NonFiniteActivations(
    `Activation ${bad} at ${hook} is ${value} (document ${document}, position ${position} of its row, after ${tokensSeen} tokens; ${Math.round(shareBad * 100)} % of this batch's rows are not finite). ${cause}`,
  );
}
