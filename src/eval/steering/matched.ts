/**
 * Latents that could have stood in a latent's place: as frequent, and with decoder rows as long.
 *
 *     alive latents, sorted by density, cut into blocks; each block sorted by norm and cut again:  strata of n to 2n − 1 latents
 *     controls of latent j = m others of its own stratum, drawn without replacement
 *
 * Strata and not nearest neighbours: a latent drawn at random from a stratum and the others of it are exchangeable, so that a rank test
 * among them is exact; the nearest neighbours of a latent lie around it, and a latent at the edge has none on one side.
 */
import { createRng } from '../../shared/rng.ts';

/** Consecutive pieces of at least `size` (one shorter piece where there are fewer altogether). */
function cut<T>(items: readonly T[], size: number): T[][] {
  const pieces = Math.max(1, Math.floor(items.length / size));
  return Array.from({ length: pieces }, (_, i) =>
    items.slice(Math.floor((i * items.length) / pieces), Math.floor(((i + 1) * items.length) / pieces)),
  );
}

/**
 * Latents that fire, in strata of like density and norm.
 *
 * @param density [F], share of tokens a latent fires on; those at 0 are left out
 * @param norms [F] of the decoder rows; where all are the same (within 0.1 %) only density counts
 * @param size fewest latents of a stratum
 */
export function matchedStrata(
  density: ArrayLike<number>,
  norms: ArrayLike<number>,
  size: number,
): Int32Array[] {
  const alive = Array.from({ length: density.length }, (_, f) => f).filter((f) => density[f]! > 0);
  const by = (of: ArrayLike<number>) => (a: number, b: number) => of[a]! - of[b]! || a - b;
  const longest = alive.reduce((most, f) => Math.max(most, norms[f]!), 0);
  const shortest = alive.reduce((least, f) => Math.min(least, norms[f]!), longest);
  const equal = longest - shortest <= 1e-3 * longest;
  // As many blocks by density as pieces by norm inside of each.
  const block = equal ? size : size * Math.max(1, Math.floor(Math.sqrt(alive.length / size)));
  return cut(alive.toSorted(by(density)), block)
    .flatMap((latents) => (equal ? [latents] : cut(latents.toSorted(by(norms)), size)))
    .map((latents) => Int32Array.from(latents));
}

/**
 * Random latents to compare one with.
 *
 * @throws RangeError when the latent is in no stratum (it never fired), or the stratum has fewer than `count` others
 */
export function matchedLatents(
  strata: readonly Int32Array[],
  latent: number,
  count: number,
  seed: string | number,
): number[] {
  const stratum = strata.find((latents) => latents.includes(latent));
  if (!stratum)
    throw new RangeError(`Latent ${latent} never fired, so no latents are as frequent; choose another.`);
  const others = Array.from(stratum).filter((f) => f !== latent);
  if (others.length < count)
    throw new RangeError(
      `${count} matched latents were asked for, and only ${others.length} others are as frequent; ask for fewer controls.`,
    );
  return shuffled(others, seed).slice(0, count);
}

/** A copy in random order (Fisher and Yates). */
export function shuffled<T>(items: readonly T[], seed: string | number): T[] {
  const rng = createRng(seed);
  const copy = [...items];
  for (let i = copy.length - 1; i > 0; i--) {
    const j = rng.int(i + 1);
    [copy[i], copy[j]] = [copy[j]!, copy[i]!];
  }
  return copy;
}
