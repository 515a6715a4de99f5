/**
 * Peaks of every latent: per passage (a document within one packed row) the token where it is largest.
 *
 *     top     the M = 10 passages with the largest peaks
 *     sample  R = 40 passages drawn uniformly: those with the smallest hash of the passage number ("bottom-k" sampling), so that
 *             neither the order of latents nor that of batches within a passage matters
 *
 * 12 bytes x 50 per latent.
 */
import { mix32 } from './types.ts';

export const topPeaks = 10;
export const sampledPeaks = 40;

/** A peak: where (global position in the index) and how strong. */
export type Peak = { readonly at: number; readonly value: number };

export type Peaks = {
  /** Latent f has `value` at global position `at` of the current passage. */
  add(latent: number, value: number, at: number): void;
  /** Ends the current passage. */
  endPassage(): void;
  /** Passages a latent fired in. */
  passages(latent: number): number;
  /** Strongest first. */
  top(latent: number): Peak[];
  /** Uniform over passages, by rising value. */
  sample(latent: number): Peak[];
};

export function createPeaks(F: number, seed = 0): Peaks {
  const values = new Float32Array(F);
  const places = new Int32Array(F);
  const touched: number[] = [];
  const seen = new Uint32Array(F);
  const topValues = new Float32Array(F * topPeaks);
  const topPlaces = new Int32Array(F * topPeaks).fill(-1);
  const sampleValues = new Float32Array(F * sampledPeaks);
  const samplePlaces = new Int32Array(F * sampledPeaks);
  const sampleKeys = new Uint32Array(F * sampledPeaks);
  let passage = 0;

  function insertTop(latent: number): void {
    const from = latent * topPeaks;
    let i = from + topPeaks - 1;
    // Not above the last one: out. Equal values keep the earlier passage.
    if (values[latent]! <= topValues[i]!) return;
    for (; i > from && topValues[i - 1]! < values[latent]!; i--) {
      topValues[i] = topValues[i - 1]!;
      topPlaces[i] = topPlaces[i - 1]!;
    }
    topValues[i] = values[latent]!;
    topPlaces[i] = places[latent]!;
  }

  function insertSample(latent: number, key: number): void {
    const from = latent * sampledPeaks;
    let i = from + seen[latent]!;
    if (seen[latent]! >= sampledPeaks) {
      i = from;
      for (let j = from + 1; j < from + sampledPeaks; j++) if (sampleKeys[j]! > sampleKeys[i]!) i = j;
      if (key >= sampleKeys[i]!) return;
    }
    sampleKeys[i] = key;
    sampleValues[i] = values[latent]!;
    samplePlaces[i] = places[latent]!;
  }

  return {
    add(latent, value, at) {
      if (values[latent] === 0) touched.push(latent);
      else if (value <= values[latent]!) return;
      values[latent] = value;
      places[latent] = at;
    },
    endPassage() {
      const key = mix32(passage++, seed);
      for (const latent of touched) {
        insertTop(latent);
        insertSample(latent, key);
        seen[latent]!++;
        values[latent] = 0;
      }
      touched.length = 0;
    },
    passages: (latent) => seen[latent]!,
    top(latent) {
      const peaks: Peak[] = [];
      for (let i = latent * topPeaks; i < (latent + 1) * topPeaks && topPlaces[i] !== -1; i++) {
        peaks.push({ at: topPlaces[i]!, value: topValues[i]! });
      }
      return peaks;
    },
    sample(latent) {
      const from = latent * sampledPeaks;
      const n = Math.min(seen[latent]!, sampledPeaks);
      const peaks = Array.from({ length: n }, (_, i) => ({
        at: samplePlaces[from + i]!,
        value: sampleValues[from + i]!,
      }));
      return peaks.sort((a, b) => a.value - b.value || a.at - b.at);
    },
  };
}
