/**
 * Query and key weights [heads d, width] in the two layouts of rotary pairs. Half: dimension i turns with i + d/2.
 * Interleaved: 2i turns with 2i + 1. Rows move; nothing else differs.
 */
function moveRows(
  data: Float32Array,
  d: number,
  width: number,
  source: (row: number) => number,
): Float32Array {
  const out = new Float32Array(data.length);
  for (let row = 0; row < data.length / width; row++) {
    const from = row - (row % d) + source(row % d);
    out.set(data.subarray(from * width, (from + 1) * width), row * width);
  }
  return out;
}

/** Hugging Face's layout -> Meta's. */
export const toInterleaved = (data: Float32Array, d: number, width: number): Float32Array =>
  moveRows(data, d, width, (i) => (i % 2) * (d / 2) + Math.floor(i / 2));

/** Meta's layout -> Hugging Face's. */
export const toHalf = (data: Float32Array, d: number, width: number): Float32Array =>
  moveRows(data, d, width, (i) => (i < d / 2 ? 2 * i : 2 * (i - d / 2) + 1));
