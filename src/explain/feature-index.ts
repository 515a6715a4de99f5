/**
 * Everything the cards need to know about all latents, from one pass over held-out rows.
 *
 * It rides along with `evaluate({ observe: index.add })` or reads rows of its own. Keeps tokens (17 bytes each), never activations.
 * Documents are split in two halves by a hash of their number: labels are fitted on one and scored on the other.
 */
import type { PackedRows } from '../data/types.ts';
import type { LabelScore } from '../shared/feature.ts';
import { createLabelScores } from './label-scores.ts';
import { createPeaks, type Peak } from './peaks.ts';
import { type IndexedRows, type Labeller, mix32 } from './types.ts';

export type FeatureIndex = {
  readonly F: number;
  /** Measured tokens so far. */
  readonly rows: number;
  readonly labels: Labeller['labels'];
  /** Takes one batch; batches must come one after the other. Throws when it carries no code. */
  add(rows: IndexedRows): Promise<void>;
  firings(latent: number): number;
  passages(latent: number): number;
  top(latent: number): Peak[];
  sample(latent: number): Peak[];
  /** Entropy in nats of the peak token over the sample of passages. */
  entropy(latent: number): number;
  /** Peak token ids of the sample with their shares, commonest first. */
  peakTokens(latent: number): { id: number; share: number }[];
  best(latent: number): LabelScore | undefined;
  /** Rates of the labels of kind register. */
  registers(latent: number): { name: string; rate: number; share: number }[];
  /** The packed row that holds a global position, as a batch of one, and the position in it. */
  locate(at: number): { packed: PackedRows; position: number };
};

/**
 * Starts an empty index.
 *
 * @param options.labeller token-level truth; without it there are no label scores
 * @param options.seed of the halves and of the sampling of passages
 */
export function createFeatureIndex(
  F: number,
  { labeller, seed = 0 }: { labeller?: Labeller; seed?: number } = {},
): FeatureIndex {
  const labels = labeller?.labels ?? [];
  const scores = createLabelScores(F, labels);
  const peaks = createPeaks(F, seed);
  const fired = new Float64Array(F);
  const batches: { base: number; packed: PackedRows }[] = [];
  let base = 0;
  let rows = 0;

  async function add({ packed, positions, code }: IndexedRows): Promise<void> {
    if (code === undefined)
      throw new Error('The feature index needs a sparse code; put an SAE first among the candidates.');
    const kept = copyRows(packed);
    const labelsAt = labeller === undefined ? () => [] : await labeller.label(kept);
    scores.calibrate(code.values);
    let passage = -1;
    for (let r = 0; r < positions.length; r++) {
      const position = positions[r]!;
      const document = kept.documents[position]!;
      // Documents of one row never share a number with another passage of the same row.
      const here = Math.floor(position / kept.T) * 2 ** 32 + document;
      if (here !== passage && r > 0) peaks.endPassage();
      passage = here;
      const half = mix32(document, seed) & 1;
      const ids = labelsAt(position);
      scores.addToken(half, ids);
      for (let k = r * code.K; k < (r + 1) * code.K; k++) {
        const value = code.values[k]!;
        if (!(value > 0)) continue;
        const latent = code.indices[k]!;
        fired[latent]!++;
        scores.addFiring(latent, half, value, ids);
        peaks.add(latent, value, base + position);
      }
    }
    if (positions.length > 0) peaks.endPassage();
    rows += positions.length;
    batches.push({ base, packed: kept });
    base += kept.ids.length;
  }

  function batchOf(at: number): { base: number; packed: PackedRows } {
    let [low, high] = [0, batches.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (batches[middle]!.base <= at) low = middle;
      else high = middle - 1;
    }
    return batches[low]!;
  }

  function peakTokens(latent: number): { id: number; share: number }[] {
    const sample = peaks.sample(latent);
    const counts = new Map<number, number>();
    for (const { at } of sample) {
      const batch = batchOf(at);
      const id = batch.packed.ids[at - batch.base]!;
      counts.set(id, (counts.get(id) ?? 0) + 1);
    }
    return [...counts]
      .map(([id, n]) => ({ id, share: n / sample.length }))
      .sort((a, b) => b.share - a.share || a.id - b.id);
  }

  return {
    F,
    labels,
    get rows() {
      return rows;
    },
    add,
    firings: (latent) => fired[latent]!,
    passages: peaks.passages,
    top: peaks.top,
    sample: peaks.sample,
    peakTokens,
    entropy: (latent) => peakTokens(latent).reduce((sum, { share }) => sum - share * Math.log(share), 0),
    best: scores.best,
    registers: (latent) =>
      labels
        .flatMap(({ name, kind }, id) => {
          if (kind !== 'register') return [];
          const { tokens, firings } = scores.counts(latent, id);
          return [
            {
              name,
              rate: tokens === 0 ? 0 : firings / tokens,
              share: fired[latent] ? firings / fired[latent]! : 0,
            },
          ];
        })
        .sort((a, b) => b.share - a.share),
    locate(at) {
      const batch = batchOf(at);
      const { T } = batch.packed;
      const row = Math.floor((at - batch.base) / T);
      return { packed: sliceRow(batch.packed, row), position: (at - batch.base) % T };
    },
  };
}

/** The source may reuse its arrays. */
function copyRows({ R, T, ids, mask, documents, starts, ends, keep }: PackedRows): PackedRows {
  return {
    R,
    T,
    ids: ids.slice(),
    mask: mask.slice(),
    documents: documents.slice(),
    starts: starts.slice(),
    ends: ends.slice(),
    ...(keep ? { keep: keep.slice() } : {}),
  };
}

function sliceRow({ T, ids, mask, documents, starts, ends, keep }: PackedRows, row: number): PackedRows {
  const [from, to] = [row * T, (row + 1) * T];
  return {
    R: 1,
    T,
    ids: ids.subarray(from, to),
    mask: mask.subarray(from, to),
    documents: documents.subarray(from, to),
    starts: starts.subarray(from, to),
    ends: ends.subarray(from, to),
    ...(keep ? { keep: keep.subarray(from, to) } : {}),
  };
}
