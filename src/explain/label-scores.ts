/**
 * Which single label fits a latent best, without ever holding tokens x latents.
 *
 *     on_f(t) at token b: z_bf >= t
 *     F1(f, l, t) = 2 tp / (|on_f(t)| + |l|),   tp = |on_f(t) ∧ l|            over the tokens of one half of the documents
 *     label and t maximise F1 on half 0; what is reported is F1 on half 1
 *
 * Kept: for each half, histograms of z over 32 logarithmic bins for each (latent, label) pair that occurs, in one pool; their sums from
 * the top are tp at each bin's lower edge. So thresholds are exact counts on a grid, and memory follows the pairs that occur.
 */
import type { LabelScore } from '../shared/feature.ts';
import type { Labeller } from './types.ts';

const bins = 32;
/** Pairs of a page of the pool, which grows by pages and is never copied. */
const PAGE = 4096;

export type LabelScores = {
  /** A measured token in a half (0 or 1) with its labels. */
  addToken(half: number, labels: readonly number[]): void;
  /** Latent f fired with z = value > 0 on that token. */
  addFiring(latent: number, half: number, value: number, labels: readonly number[]): void;
  /** Sets the bins from values seen first; later values outside fall in the end bins. Only the first call counts. */
  calibrate(values: Float32Array): void;
  best(latent: number): LabelScore | undefined;
  /** Tokens of a label, and firings of the latent on them, in both halves. */
  counts(latent: number, label: number): { tokens: number; firings: number };
};

export function createLabelScores(F: number, labels: Labeller['labels']): LabelScores {
  const L = labels.length;
  // Column L is "any token"; a slot holds the bins of half 0, then those of half 1.
  const slotOf = new Int32Array(F * (L + 1)).fill(-1);
  const pool: Uint32Array[] = [];
  let slots = 0;
  const tokens = [new Float64Array(L), new Float64Array(L)];
  let lowest = 0;
  let step = 0;

  function edge(bin: number): number {
    return bin === 0 ? 0 : lowest * Math.exp(bin * step);
  }

  function bump(latent: number, column: number, at: number): void {
    const pair = latent * (L + 1) + column;
    if (slotOf[pair] === -1) {
      if (slots % PAGE === 0) pool.push(new Uint32Array(PAGE * 2 * bins));
      slotOf[pair] = slots++;
    }
    const slot = slotOf[pair]!;
    pool[Math.floor(slot / PAGE)]![(slot % PAGE) * 2 * bins + at]!++;
  }

  /** Counts at or above every bin's lower edge [bins]; undefined when the pair never occurred. */
  function atLeast(latent: number, column: number, half: number): Float64Array | undefined {
    const slot = slotOf[latent * (L + 1) + column]!;
    if (slot === -1) return undefined;
    const page = pool[Math.floor(slot / PAGE)]!;
    const sums = new Float64Array(bins);
    let sum = 0;
    for (let b = bins - 1; b >= 0; b--) sums[b] = sum += page[((slot % PAGE) * 2 + half) * bins + b]!;
    return sums;
  }

  return {
    calibrate(values) {
      if (step > 0) return;
      let low = Number.POSITIVE_INFINITY;
      let high = 0;
      for (const v of values) {
        if (v <= 0) continue;
        if (v < low) low = v;
        if (v > high) high = v;
      }
      if (high === 0) return;
      lowest = low;
      // Twice the largest value seen first: room for the maxima of later text.
      step = Math.log((2 * high) / low) / bins;
    },
    addToken(half, ids) {
      for (const id of ids) tokens[half]![id]!++;
    },
    addFiring(latent, half, value, ids) {
      const bin = Math.min(bins - 1, Math.max(0, Math.floor(Math.log(value / lowest) / step)));
      const at = half * bins + bin;
      bump(latent, L, at);
      for (const id of ids) bump(latent, id, at);
    },
    best(latent) {
      const on = [atLeast(latent, L, 0), atLeast(latent, L, 1)];
      if (!on[0] || !on[1]) return undefined;
      let top = { f1: 0, label: -1, bin: 0 };
      for (let label = 0; label < L; label++) {
        if (tokens[0]![label] === 0 || tokens[1]![label] === 0) continue;
        const hits = atLeast(latent, label, 0);
        if (!hits) continue;
        for (let bin = 0; bin < bins; bin++) {
          const f1 = (2 * hits[bin]!) / (on[0][bin]! + tokens[0]![label]!);
          if (f1 > top.f1) top = { f1, label, bin };
        }
      }
      if (top.label === -1) return undefined;
      const hits = atLeast(latent, top.label, 1)![top.bin]!;
      const selected = on[1][top.bin]!;
      const positives = tokens[1]![top.label]!;
      return {
        label: labels[top.label]!.name,
        kind: labels[top.label]!.kind,
        threshold: edge(top.bin),
        f1: (2 * hits) / (selected + positives),
        precision: selected === 0 ? 0 : hits / selected,
        recall: hits / positives,
        positives,
      };
    },
    counts(latent, label) {
      const firings = [0, 1].reduce((sum, half) => sum + (atLeast(latent, label, half)?.[0] ?? 0), 0);
      return { tokens: tokens[0]![label]! + tokens[1]![label]!, firings };
    },
  };
}
