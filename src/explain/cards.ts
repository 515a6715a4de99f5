/**
 * Feature cards: the evidence for single latents, gathered by looking again at the rows where they peak.
 *
 * Examples are the five strongest passages and one per decile of peak activation. The activations around a peak are encoded again; as a
 * batch of other rows changes the last bit, a latent at the very edge of the top K may read 0 there: the peak keeps the value first seen.
 */
import type { DocumentSet, PackedRows } from '../data/types.ts';
import { type FeatureCard, type FeatureExample, featureCardSchema } from '../shared/feature.ts';
import { type TokenStrings, tokenTexts } from './display.ts';
import type { FeatureIndex } from './feature-index.ts';
import { guessLabel } from './guess.ts';
import type { Scored } from './interestingness.ts';
import { directionsOf, extremes } from './logit-effects.ts';
import type { Peak } from './peaks.ts';
import type { IndexedRows, Unembed } from './types.ts';

export type CardOptions = {
  /** Runs rows through model and SAE as when the index was made: createRowReader of src/eval. */
  readonly read: (packed: PackedRows) => Promise<IndexedRows>;
  readonly tokenStrings: TokenStrings;
  /** [F,D] latent-major */
  readonly W_dec: Float32Array;
  /** Without one (an encoder), cards name no tokens that a latent raises or lowers. */
  readonly unembed?: Unembed;
  /** The held-out documents: their own text is shown, and their registers. */
  readonly documents?: DocumentSet;
  /** Tokens before and after the peak, within its passage. Default 16 and 8. */
  readonly window?: readonly [number, number];
  /** Strongest passages shown. Default 5. */
  readonly top?: number;
  /** Tokens raised and lowered. Default 8 each. */
  readonly tokens?: number;
  readonly signal?: AbortSignal;
};

/** Rows per look: bounds the activations in memory. */
const rowsPerRead = 4;

type Place = { readonly latent: number; readonly peak: Peak; readonly kind: 'top' | 'spread' };

/** Cards of the given latents, in the given order. Latents that never fired get a card without examples. */
export async function buildCards(
  index: FeatureIndex,
  chosen: readonly (number | Scored)[],
  {
    read,
    tokenStrings,
    W_dec,
    unembed,
    documents,
    window = [16, 8],
    top = 5,
    tokens = 8,
    signal,
  }: CardOptions,
): Promise<FeatureCard[]> {
  const latents = chosen.map((entry) => (typeof entry === 'number' ? entry : entry.latent));
  const places = latents.flatMap((latent) => placesOf(index, latent, top));
  const examples = await readExamples(index, places, {
    read,
    tokenStrings,
    window,
    ...(documents && { documents }),
    ...(signal && { signal }),
  });

  const directions = directionsOf(latents, W_dec, index.F);
  const logits =
    latents.length > 0 && unembed
      ? await unembed(directions, latents.length, signal ? { signal } : {})
      : new Float32Array(0);
  const V = logits.length / latents.length;
  const tokenString = (id: number) => tokenStrings([id])[0]!;

  return chosen.map((entry, i) => {
    const latent = latents[i]!;
    const own = places.flatMap((place, p) => (place.latent === latent ? [examples[p]!] : []));
    const peakTokens = index.peakTokens(latent).slice(0, 5);
    const best = index.best(latent);
    const registers = index
      .registers(latent)
      .filter(({ share }) => share > 0)
      .slice(0, 5);
    const evidence = {
      best,
      registers,
      peakTokens: peakTokens.map(({ id, share }) => ({ token: tokenString(id), share })),
    };
    const effects = logits.subarray(i * V, (i + 1) * V);
    return featureCardSchema.parse({
      latent,
      density: index.rows === 0 ? 0 : index.firings(latent) / index.rows,
      guess: guessLabel(
        evidence,
        own.filter(({ kind }) => kind === 'top').map(({ peak }) => peak),
      ),
      ...(best && { best }),
      entropy: index.entropy(latent),
      passages: index.passages(latent),
      registers,
      peakTokens: evidence.peakTokens,
      examples: own,
      raises: extremes(effects, tokens, 1, tokenString),
      lowers: extremes(effects, tokens, -1, tokenString),
      ...(typeof entry !== 'number' && {
        score: { f1: entry.f1, entropy: entry.entropy, effect: entry.effect, total: entry.total },
      }),
    } satisfies FeatureCard);
  });
}

/** The strongest passages, then one from the middle of each decile of the sampled peaks; no place twice. */
function placesOf(index: FeatureIndex, latent: number, top: number): Place[] {
  const strongest = index.top(latent).slice(0, top);
  const sample = index.sample(latent);
  const used = new Set(strongest.map(({ at }) => at));
  const spread: Peak[] = [];
  for (let decile = 9; decile >= 0 && sample.length > 0; decile--) {
    const peak = sample[Math.min(sample.length - 1, Math.floor(((decile + 0.5) / 10) * sample.length))]!;
    if (used.has(peak.at)) continue;
    used.add(peak.at);
    spread.push(peak);
  }
  return [
    ...strongest.map((peak) => ({ latent, peak, kind: 'top' as const })),
    ...spread.map((peak) => ({ latent, peak, kind: 'spread' as const })),
  ];
}

type Reading = Pick<CardOptions, 'read' | 'tokenStrings' | 'documents' | 'signal'> & {
  readonly window: readonly [number, number];
};

async function readExamples(
  index: FeatureIndex,
  places: readonly Place[],
  options: Reading,
): Promise<FeatureExample[]> {
  const { read, tokenStrings, documents, window, signal } = options;
  const examples: FeatureExample[] = new Array(places.length);
  // Places of one row are read together; rows in a fixed order.
  const rows = new Map<number, { packed: PackedRows; places: { p: number; position: number }[] }>();
  for (const [p, { peak }] of places.entries()) {
    const { packed, position } = index.locate(peak.at);
    const row = rows.get(peak.at - position) ?? { packed, places: [] };
    row.places.push({ p, position });
    rows.set(peak.at - position, row);
  }
  const ordered = [...rows].sort(([a], [b]) => a - b).map(([, row]) => row);
  for (let from = 0; from < ordered.length; ) {
    signal?.throwIfAborted();
    // Rows of one length only: a stream may change T between batches.
    const T = ordered[from]!.packed.T;
    let to = from;
    while (to < ordered.length && to < from + rowsPerRead && ordered[to]!.packed.T === T) to++;
    const group = ordered.slice(from, to);
    const { positions, code } = await read(joinRows(group.map(({ packed }) => packed)));
    const rowOf = new Map(Array.from(positions, (position, r) => [position, r]));
    for (const [g, { packed, places: own }] of group.entries()) {
      for (const { p, position } of own) {
        const { latent, peak, kind } = places[p]!;
        const owner = packed.documents[position]!;
        let [start, end] = [position, position + 1];
        while (start > 0 && position - start < window[0] && packed.documents[start - 1] === owner) start--;
        // BOS stands for no characters.
        while (start < position && packed.starts[start]! >= 0 && packed.starts[start] === packed.ends[start])
          start++;
        while (end < T && end - position <= window[1] && packed.documents[end] === owner) end++;
        const activations = Array.from({ length: end - start }, (_, i) => {
          if (start + i === position) return peak.value;
          const r = rowOf.get(g * T + start + i);
          if (r === undefined || code === undefined) return 0;
          for (let k = r * code.K; k < (r + 1) * code.K; k++)
            if (code.indices[k] === latent && code.values[k]! > 0) return code.values[k]!;
          return 0;
        });
        const texts = await tokenTexts(packed, [start, end], position, tokenStrings, documents);
        const at = position - start;
        const register = documents && (await documents.get(owner)).register;
        examples[p] = {
          left: texts.slice(0, at),
          peak: texts[at]!,
          right: texts.slice(at + 1),
          activations,
          value: peak.value,
          kind,
          document: owner,
          ...(register !== undefined && { register }),
        };
      }
    }
    from = to;
  }
  return examples;
}

function joinRows(rows: readonly PackedRows[]): PackedRows {
  const T = rows[0]!.T;
  const join = (pick: (row: PackedRows) => Int32Array) => {
    const all = new Int32Array(rows.length * T);
    for (const [r, row] of rows.entries()) all.set(pick(row), r * T);
    return all;
  };
  return {
    R: rows.length,
    T,
    ids: join((row) => row.ids),
    mask: Uint8Array.from(join((row) => Int32Array.from(row.mask))),
    documents: join((row) => row.documents),
    starts: join((row) => row.starts),
    ends: join((row) => row.ends),
  };
}
