/** Rows [B,D_1], [B,D_2], … -> rows [B,D_1 + D_2 + …]; of one place alone they are left where they are. */
export function sideBySide(places: readonly Float32Array[], B: number): Float32Array {
  if (places.length === 1) return places[0]!;
  const widths = places.map((rows) => rows.length / B);
  const D = widths.reduce((sum, width) => sum + width, 0);
  const joined = new Float32Array(B * D);
  for (let b = 0; b < B; b++) {
    let at = b * D;
    for (const [k, width] of widths.entries()) {
      joined.set(places[k]!.subarray(b * width, (b + 1) * width), at);
      at += width;
    }
  }
  return joined;
}
