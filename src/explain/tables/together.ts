/**
 * Which latents fire on the same tokens, counted on the first tokens of the text:
 *
 *     J(f, g) = n_fg / (n_f + n_g − n_fg)            n: tokens of the sample on which a latent fires, n_fg: on which both do
 *
 * Work: Σ over tokens of (active latents)².
 */
export type Together = {
  readonly latents: number[];
  readonly jaccard: number[];
  readonly tokens: number[];
};

/** Codes of the sample: token i fires latents[offsets[i] .. offsets[i+1]]. */
export type SampleCodes = { readonly offsets: Int32Array; readonly latents: Int32Array };

export const PARTNERS = 12;
/** Both on fewer tokens than this is no evidence. */
const FEWEST_TOKENS = 3;

/** Prepares the counting; the returned function takes one latent. */
export function createTogether(F: number, { offsets, latents }: SampleCodes): (latent: number) => Together {
  const counts = new Int32Array(F);
  for (const latent of latents) counts[latent]!++;
  // Tokens by latent: the transpose of the code.
  const starts = new Int32Array(F + 1);
  for (let f = 0; f < F; f++) starts[f + 1] = starts[f]! + counts[f]!;
  const tokens = new Int32Array(latents.length);
  const next = starts.slice();
  for (let i = 0; i + 1 < offsets.length; i++)
    for (let k = offsets[i]!; k < offsets[i + 1]!; k++) tokens[next[latents[k]!]!++] = i;

  const both = new Int32Array(F);
  const touched = new Int32Array(F);
  return (latent) => {
    let n = 0;
    for (let i = starts[latent]!; i < starts[latent + 1]!; i++) {
      const token = tokens[i]!;
      for (let k = offsets[token]!, end = offsets[token + 1]!; k < end; k++) {
        const other = latents[k]!;
        if (both[other]! === 0) touched[n++] = other;
        both[other]!++;
      }
    }
    const own = counts[latent]!;
    const best: { other: number; both: number; jaccard: number }[] = [];
    for (let i = 0; i < n; i++) {
      const other = touched[i]!;
      const shared = both[other]!;
      both[other] = 0;
      if (other === latent || shared < FEWEST_TOKENS) continue;
      const jaccard = shared / (own + counts[other]! - shared);
      if (best.length === PARTNERS && jaccard < best[PARTNERS - 1]!.jaccard) continue;
      best.push({ other, both: shared, jaccard });
      best.sort((a, b) => b.jaccard - a.jaccard || a.other - b.other);
      best.length = Math.min(best.length, PARTNERS);
    }
    return {
      latents: best.map(({ other }) => other),
      jaccard: best.map(({ jaccard }) => jaccard),
      tokens: best.map(({ both }) => both),
    };
  };
}
