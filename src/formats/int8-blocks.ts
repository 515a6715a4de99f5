/**
 * Symmetric 8-bit blocks: each row is cut into blocks of 64 neighbours, the last one may be shorter.
 *
 *     s = max |x_j| / 127 over the block          float32, one per block: scale [rows, ceil(D / 64)]
 *     q_j = round(x_j / s)  in -127 … 127          int8 [rows,D]
 *     x_j ~ q_j s                                  |error| <= s / 2
 *
 * One scale per row would do for most rows; but a residual stream has a few dimensions that are tens of times larger than the others,
 * and then everything else in the row would be rounded away. Blocks confine that to 63 neighbours, for 1/16 of a byte per number.
 */
export const INT8_BLOCK = 64;

/** Scales of one row of width D. */
export const int8Blocks = (D: number): number => Math.ceil(D / INT8_BLOCK);

/** float32 rows [rows,D] -> int8 and scales. */
export function quantizeInt8(
  x: Float32Array,
  D: number,
  q: Int8Array = new Int8Array(x.length),
  scale: Float32Array = new Float32Array((x.length / D) * int8Blocks(D)),
): { q: Int8Array; scale: Float32Array } {
  let block = 0;
  for (let row = 0; row < x.length; row += D) {
    for (let from = row; from < row + D; from += INT8_BLOCK, block++) {
      const to = Math.min(row + D, from + INT8_BLOCK);
      let largest = 0;
      for (let j = from; j < to; j++) largest = Math.max(largest, Math.abs(x[j]!));
      scale[block] = largest / 127;
      const s = scale[block]!;
      // Scales so small that they are rounded themselves: the clamp keeps them from running over.
      for (let j = from; j < to; j++)
        q[j] = s === 0 ? 0 : Math.max(-127, Math.min(127, Math.round(x[j]! / s)));
    }
  }
  return { q, scale };
}

/** int8 rows [rows,D] and their scales -> float32 into `out`. */
export function dequantizeInt8(q: Int8Array, scale: Float32Array, D: number, out: Float32Array): void {
  let block = 0;
  for (let row = 0; row < q.length; row += D) {
    for (let from = row; from < row + D; from += INT8_BLOCK) {
      const to = Math.min(row + D, from + INT8_BLOCK);
      const s = scale[block++]!;
      for (let j = from; j < to; j++) out[j] = q[j]! * s;
    }
  }
}
