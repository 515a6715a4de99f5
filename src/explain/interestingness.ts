/**
 * Which latents to show first: the printed interestingness score.
 *
 *     eligible   density in [1e-4, 3e-2], fired in at least 5 passages
 *     rank_q(f)  in (0, 1], share of the compared latents with q no larger, for q =
 *                  f1       best single label, on the held-out half
 *                  entropy  of the peak token over its passages, so that single-token latents sink
 *                  effect   mean peak activation x standard deviation over the vocabulary of the logits its direction pushes. A stand-in
 *                           for the effect on the output when steered, which takes a generation per latent
 *     score(f)   = (rank_f1 · rank_entropy · rank_effect)^(1/3)                                              the rank product
 *     order      maximal marginal relevance (Carbonell & Goldstein 1998), λ = 0.7:
 *                  next = argmax_f  λ score(f) − (1 − λ) max_{g chosen} sim(f, g)
 *                  sim = |cos(d_f, d_g)| of the decoder, and at least 1/2 where the same label fits both: the third latent for one
 *                  language is less of a surprise than the first for another, whatever the angle between them
 *
 * The effect is computed for the 256 best by the other two ranks only, and all ranks are taken among those. Constants are ours.
 * `chooseRandom` is the unbiased sample beside it, so that nobody is fooled.
 */
import { createRng } from '../shared/rng.ts';
import type { FeatureIndex } from './feature-index.ts';
import { fits } from './guess.ts';
import { directionsOf } from './logit-effects.ts';
import type { Unembed } from './types.ts';

const densityRange = [1e-4, 3e-2] as const;
const fewestPassages = 5;
const shortlistLength = 256;
const relevance = 0.7;
const sameLabel = 0.5;
/** Directions whose effects on all logits are held at once. */
const TILE = 32;

export type Scored = {
  readonly latent: number;
  readonly f1: number;
  readonly entropy: number;
  readonly effect: number;
  readonly total: number;
};

/** Ranks in (0, 1]; equal values share the higher rank. */
export function ranks(values: readonly number[]): number[] {
  const sorted = [...values].sort((a, b) => a - b);
  return values.map((v) => {
    let [low, high] = [0, sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sorted[middle]! <= v) low = middle + 1;
      else high = middle;
    }
    return low / sorted.length;
  });
}

/**
 * The `count` most interesting latents, most interesting first; fewer when fewer are eligible.
 *
 * @param W_dec [F,D] latent-major
 * @param unembed without one (an encoder), the effect on the output has no part in the order
 */
export async function chooseInteresting(
  index: FeatureIndex,
  {
    W_dec,
    unembed,
    count = 12,
    signal,
  }: { W_dec: Float32Array; unembed?: Unembed; count?: number; signal?: AbortSignal },
): Promise<Scored[]> {
  const D = W_dec.length / index.F;
  signal?.throwIfAborted();
  const eligible: { latent: number; f1: number; entropy: number }[] = [];
  for (let latent = 0; latent < index.F; latent++) {
    const density = index.firings(latent) / index.rows;
    if (density < densityRange[0] || density > densityRange[1] || index.passages(latent) < fewestPassages)
      continue;
    eligible.push({ latent, f1: index.best(latent)?.f1 ?? 0, entropy: index.entropy(latent) });
  }
  const first = productOfRanks(
    eligible.map(({ f1 }) => f1),
    eligible.map(({ entropy }) => entropy),
  );
  const shortlist = eligible
    .map((entry, i) => ({ ...entry, first: first[i]!.product }))
    .sort((a, b) => b.first - a.first || a.latent - b.latent)
    .slice(0, shortlistLength);
  if (shortlist.length === 0) return [];

  const effects: number[] = [];
  for (let from = 0; from < shortlist.length; from += TILE) {
    const part = shortlist.slice(from, from + TILE);
    if (!unembed) {
      effects.push(...part.map(() => 0));
      continue;
    }
    const directions = directionsOf(
      part.map(({ latent }) => latent),
      W_dec,
      index.F,
    );
    const logits = await unembed(directions, part.length, signal ? { signal } : {});
    const V = logits.length / part.length;
    for (const [i, { latent }] of part.entries()) {
      const sample = index.sample(latent);
      const meanPeak = sample.reduce((sum, { value }) => sum + value, 0) / sample.length;
      effects.push(meanPeak * spread(logits.subarray(i * V, (i + 1) * V)));
    }
  }
  const all = productOfRanks(
    shortlist.map(({ f1 }) => f1),
    shortlist.map(({ entropy }) => entropy),
    effects,
  );
  const scored = shortlist.map(({ latent }, i) => {
    const [f1, entropy, effect] = all[i]!.ranks as [number, number, number];
    return { latent, f1, entropy, effect, total: Math.cbrt(all[i]!.product) };
  });
  const labelOf = (latent: number) => {
    const best = index.best(latent);
    return fits(best) ? best.label : undefined;
  };
  return diversify(scored, labelOf, W_dec, D, count);
}

/** A uniform sample of latents that fired at all, in drawing order. */
export function chooseRandom(
  index: FeatureIndex,
  { count = 12, seed = 0 }: { count?: number; seed?: number | string } = {},
): number[] {
  const alive: number[] = [];
  for (let latent = 0; latent < index.F; latent++) if (index.firings(latent) > 0) alive.push(latent);
  const rng = createRng(`${seed}/random-latents`);
  for (let i = 0; i < Math.min(count, alive.length); i++) {
    const j = i + rng.int(alive.length - i);
    [alive[i], alive[j]] = [alive[j]!, alive[i]!];
  }
  return alive.slice(0, count);
}

function productOfRanks(
  ...quantities: readonly (readonly number[])[]
): { ranks: number[]; product: number }[] {
  const ranked = quantities.map(ranks);
  return quantities[0]!.map((_, i) => {
    const own = ranked.map((r) => r[i]!);
    return { ranks: own, product: own.reduce((a, b) => a * b, 1) };
  });
}

/** Standard deviation. */
function spread(values: Float32Array): number {
  let sum = 0;
  for (const v of values) sum += v;
  const centre = sum / values.length;
  let square = 0;
  for (const v of values) square += (v - centre) ** 2;
  return Math.sqrt(square / values.length);
}

/** Maximal marginal relevance. Equal merits go to the smaller latent. */
function diversify(
  scored: readonly Scored[],
  labelOf: (latent: number) => string | undefined,
  W_dec: Float32Array,
  D: number,
  count: number,
): Scored[] {
  const rest = [...scored]
    .sort((a, b) => a.latent - b.latent)
    .map((entry) => ({ entry, label: labelOf(entry.latent), closest: 0 }));
  const merit = ({ entry, closest }: (typeof rest)[number]) =>
    relevance * entry.total - (1 - relevance) * closest;
  const chosen: Scored[] = [];
  while (chosen.length < count && rest.length > 0) {
    const best = rest.reduce((leader, other) => (merit(other) > merit(leader) ? other : leader));
    rest.splice(rest.indexOf(best), 1);
    chosen.push(best.entry);
    for (const other of rest) {
      const angle = Math.abs(cosine(W_dec, other.entry.latent, best.entry.latent, D));
      const same = other.label !== undefined && other.label === best.label ? sameLabel : 0;
      other.closest = Math.max(other.closest, angle, same);
    }
  }
  return chosen;
}

function cosine(W: Float32Array, f: number, g: number, D: number): number {
  let [dot, ff, gg] = [0, 0, 0];
  for (let d = 0; d < D; d++) {
    const [a, b] = [W[f * D + d]!, W[g * D + d]!];
    dot += a * b;
    ff += a * a;
    gg += b * b;
  }
  return ff === 0 || gg === 0 ? 0 : dot / Math.sqrt(ff * gg);
}
