/**
 * A few latents and their strongest passages in a small fixed text, again and again while training goes on.
 *
 * The text is run through the model once; only the encoder is run anew. Latents are chosen at the first look, so that one sees
 * the same ones sharpen; one that dies is replaced.
 */
import type { PackedRows } from '../data/index.ts';
import type { Model, Tokenizer } from '../models/types.ts';
import type { SparseCode } from '../sae/types.ts';
import type { Snippet } from './types.ts';

export type SnippetProbe = {
  /** Looks at the SAE as it stands. */
  look(encode: (x: Float32Array, B: number) => Promise<SparseCode>): Promise<Snippet[]>;
};

/** What is counted of one latent in the probe text. */
type Tally = { fired: number; maximum: number; best: number; sum: number };

/** Latents that fire on more of the text than this say little in one passage. */
const MOST_DENSITY = 0.04;
const FEWEST_FIRINGS = 4;
const PASSAGE_BEFORE = 24;
const PASSAGE_AFTER = 12;
/** Tokens of which each has part of a character of the next. */
const MOST_TANGLED = 12;

/**
 * @param packed probe text [R,T]; some 4,000 tokens are enough
 * @param count latents to follow
 */
export async function createSnippetProbe(
  model: Pick<Model, 'run' | 'tokenizer'>,
  hook: string,
  packed: PackedRows,
  count: number,
): Promise<SnippetProbe> {
  const batch = { ...packed, B: packed.R };
  const { cache } = await model.run(batch, { hooks: [hook] });
  const activations = cache[hook];
  if (activations === undefined) throw new Error(`The model returned nothing for hook ${hook}.`);
  const D = activations.data.length / (batch.B * batch.T);
  // Rows of real tokens; the first position of a sequence is an outlier in most models and would head every list.
  const places: number[] = [];
  for (let i = 0; i < batch.B * batch.T; i++)
    if (batch.mask[i] === 1 && batch.keep?.[i] !== 0 && i % batch.T > 0) places.push(i);
  const x = new Float32Array(places.length * D);
  for (const [row, place] of places.entries())
    x.set(activations.data.subarray(place * D, (place + 1) * D), row * D);

  let followed: number[] = [];
  return {
    async look(encode) {
      const N = places.length;
      const code = await encode(x, N);
      const tallies = tally(code, N);
      const alive = (latent: number): boolean => (tallies.get(latent)?.fired ?? 0) >= 2;
      followed = followed.filter(alive);
      if (followed.length < count) {
        const taken = new Set(followed.flatMap((latent) => sortsOf(tallies.get(latent) as Tally)));
        for (const latent of rank(tallies, N)) {
          if (followed.length >= count) break;
          const sorts = sortsOf(tallies.get(latent) as Tally);
          if (followed.includes(latent) || sorts.some((sort) => taken.has(sort))) continue;
          for (const sort of sorts) taken.add(sort);
          followed.push(latent);
        }
      }
      return followed.map((latent) => passage(latent, tallies.get(latent) as Tally, code, N));
    },
  };

  /** One latent per peak token and per document: several for the same place show nothing. */
  function sortsOf({ best }: Tally): string[] {
    const place = places[best] as number;
    return [`token ${batch.ids[place]}`, `document ${packed.documents[place]}`];
  }

  function passage(latent: number, { fired, maximum, best }: Tally, code: SparseCode, N: number): Snippet {
    const place = places[best] as number;
    const rowStart = place - (place % batch.T);
    const from = Math.max(rowStart, place - PASSAGE_BEFORE);
    const to = Math.min(rowStart + batch.T, place + PASSAGE_AFTER + 1);
    const ids: number[] = [];
    const values: number[] = [];
    for (let i = from; i < to && batch.mask[i] === 1; i++) {
      ids.push(batch.ids[i] as number);
      const row = places.indexOf(i);
      values.push(row < 0 ? 0 : activationAt(code, row, latent));
    }
    const peak = place - from;
    const tokens = model.tokenizer ? wholeCharacters(model.tokenizer, ids, peak) : ids.map((id) => ` ${id}`);
    return { latent, density: fired / N, maximum, tokens, activations: values, peak };
  }
}

/**
 * Token texts, which together are the text as far as the tokenizer keeps it; a character that is split over tokens stands whole at the
 * peak, or else at its first token, with '' at the others.
 */
export function wholeCharacters(
  tokenizer: Pick<Tokenizer, 'decode' | 'tokenStrings'>,
  ids: readonly number[],
  peak = -1,
): string[] {
  // Not decoded one by one: decoders drop the space that a text begins with.
  const texts = tokenizer.tokenStrings(ids);
  for (let i = 0; i < ids.length; i++) {
    if (!texts[i]!.includes('\ufffd')) continue;
    let end = i + 1;
    let text = texts[i]!;
    while (text.includes('\ufffd') && end < Math.min(ids.length, i + MOST_TANGLED)) {
      end++;
      text = tokenizer.decode(ids.slice(i, end));
    }
    // A character that is cut off at an end of the passage is left out; others that are no character stay as they are.
    if (text.includes('\ufffd')) {
      if (i === 0 || end === ids.length) texts[i] = texts[i]!.replace(/\ufffd+/g, '');
      continue;
    }
    const shown = peak >= i && peak < end ? peak : i;
    for (let j = i; j < end; j++) texts[j] = j === shown ? text : '';
    i = end - 1;
  }
  return texts;
}

function activationAt({ K, values, indices }: SparseCode, row: number, latent: number): number {
  for (let k = row * K; k < (row + 1) * K; k++) if (indices[k] === latent) return values[k] as number;
  return 0;
}

function tally({ K, values, indices }: SparseCode, N: number): Map<number, Tally> {
  const tallies = new Map<number, Tally>();
  for (let i = 0; i < N * K; i++) {
    const value = values[i] as number;
    if (!(value > 0)) continue;
    const latent = indices[i] as number;
    const seen = tallies.get(latent);
    if (seen === undefined) {
      tallies.set(latent, { fired: 1, maximum: value, best: Math.floor(i / K), sum: value });
      continue;
    }
    seen.fired++;
    seen.sum += value;
    if (value > seen.maximum) {
      seen.maximum = value;
      seen.best = Math.floor(i / K);
    }
  }
  return tallies;
}

/** Rare enough to mean something, often enough to be seen again, and strong: by total activation. */
function rank(tallies: ReadonlyMap<number, Tally>, N: number): number[] {
  const inRange = [...tallies].filter(
    ([, { fired }]) => fired >= FEWEST_FIRINGS && fired <= MOST_DENSITY * N,
  );
  return (inRange.length > 0 ? inRange : [...tallies])
    .sort(([a, s], [b, t]) => t.sum - s.sum || a - b)
    .map(([latent]) => latent);
}
