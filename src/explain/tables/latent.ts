/**
 * All activations of some latents, gathered from codes in text order:
 *
 *     entries of latent f: at[offsets[f] .. offsets[f+1]] ascending, values beside them
 *
 * A counting sort over the codes. Latents are taken in ranges, so that the entries in memory are bounded.
 */

export type Entries = {
  /** Places in the text, ascending. */
  readonly at: Int32Array;
  readonly values: Float32Array;
};

/** Codes of a stretch of text; token i is at positions[i] + base. */
export type TextCodes = {
  readonly base: number;
  readonly positions: Int32Array;
  readonly offsets: Int32Array;
  readonly latents: Int32Array;
  readonly values: Float32Array;
};

/** Consecutive ranges of latents with at most `most` entries each (one latent may have more). */
export function rangesOf(counts: ArrayLike<number>, most: number): [from: number, to: number][] {
  const ranges: [number, number][] = [];
  let [from, sum] = [0, 0];
  for (let f = 0; f < counts.length; f++) {
    if (f > from && sum + counts[f]! > most) {
      ranges.push([from, f]);
      [from, sum] = [f, 0];
    }
    sum += counts[f]!;
  }
  if (counts.length > from) ranges.push([from, counts.length]);
  return ranges;
}

/**
 * @param counts entries of every latent [F]
 * @param stretches all codes, in text order
 * @returns the entries of latent from + i
 */
export async function gatherEntries(
  counts: ArrayLike<number>,
  [from, to]: readonly [number, number],
  stretches: AsyncIterable<TextCodes>,
): Promise<(latent: number) => Entries> {
  const starts = new Float64Array(to - from + 1);
  for (let f = from; f < to; f++) starts[f - from + 1] = starts[f - from]! + counts[f]!;
  const at = new Int32Array(starts[to - from]!);
  const values = new Float32Array(at.length);
  const next = starts.slice();
  for await (const { base, positions, offsets, latents, values: z } of stretches)
    for (let i = 0; i < positions.length; i++)
      for (let k = offsets[i]!; k < offsets[i + 1]!; k++) {
        const latent = latents[k]!;
        if (latent < from || latent >= to) continue;
        const place = next[latent - from]!++;
        at[place] = base + positions[i]!;
        values[place] = z[k]!;
      }
  return (latent) => {
    const [a, b] = [starts[latent - from]!, starts[latent - from + 1]!];
    return { at: at.subarray(a, b), values: values.subarray(a, b) };
  };
}
