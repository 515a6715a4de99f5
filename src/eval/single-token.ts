/**
 * Single-token latents: those that say no more than "the current token is v".
 *
 *     share_f = max_v |{b : z_bf > 0, token_b = v}| / |{b : z_bf > 0}|
 *     latent f is judged if it fired at least 20 times, and is single-token if share_f >= 0.9
 *     reported: single-token latents / judged latents
 *
 * Both constants are ours; the question is that of "token features" (arXiv 2502.17332), who count differently.
 *
 * Exact counts would need a table latents x vocabulary. Kept instead: the Space-Saving summary (Metwally, Agrawal & El Abbadi 2005), 8 counters
 * per latent. A token with 90 % of the firings always holds a counter; its count is off by at most the error recorded with it, so the
 * share is known within [count − error, count] / firings. The lower end is used: a latent is never called single-token wrongly.
 */

export const singleTokenShare = 0.9;
export const singleTokenFirings = 20;

const slots = 8;

/** Most frequent current token per latent, in constant memory: 8 counters of 12 bytes per latent. */
export type TokenTally = {
  /** Latent f fired on a token; a negative token is one that nobody knows, and counts as a firing only. */
  add(latent: number, token: number): void;
  /** Firings of every latent [F]. */
  readonly firings: Float64Array;
  /** The leading token of a latent with bounds on how often it fired on it; undefined when it never fired. */
  leader(latent: number): { token: number; low: number; high: number } | undefined;
};

/** Starts empty counters for F latents. */
export function createTokenTally(F: number): TokenTally {
  const tokens = new Int32Array(F * slots).fill(-1);
  const counts = new Uint32Array(F * slots);
  const errors = new Uint32Array(F * slots);
  const firings = new Float64Array(F);
  return {
    firings,
    add(latent, token) {
      firings[latent]!++;
      if (token < 0) return;
      const from = latent * slots;
      let least = from;
      for (let i = from; i < from + slots; i++) {
        if (tokens[i] === token) {
          counts[i]!++;
          return;
        }
        if (counts[i]! < counts[least]!) least = i;
      }
      // The newcomer may have been here before and been pushed out: it inherits the least count as a possible error.
      errors[least] = counts[least]!;
      counts[least]!++;
      tokens[least] = token;
    },
    leader(latent) {
      if (firings[latent] === 0) return undefined;
      let best = latent * slots;
      for (let i = best + 1; i < (latent + 1) * slots; i++) {
        const gain = counts[i]! - errors[i]! - (counts[best]! - errors[best]!);
        // Ties go to the smaller token id, so that the order of latents and slots does not matter.
        if (gain > 0 || (gain === 0 && counts[i]! > 0 && tokens[i]! < tokens[best]!)) best = i;
      }
      return { token: tokens[best]!, low: counts[best]! - errors[best]!, high: counts[best]! };
    },
  };
}

/** How many latents are single-token, of how many judged. */
export function countSingleToken(tally: TokenTally): { single: number; judged: number } {
  let single = 0;
  let judged = 0;
  for (let f = 0; f < tally.firings.length; f++) {
    if (tally.firings[f]! < singleTokenFirings) continue;
    const { low, high } = tally.leader(f)!;
    // No token of it is known.
    if (high === 0) continue;
    judged++;
    if (low >= singleTokenShare * tally.firings[f]!) single++;
  }
  return { single, judged };
}
