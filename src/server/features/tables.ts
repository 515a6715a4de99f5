/** Evidence from feature tables (saekit index), one latent a range of rows; what lists and searches need of all latents is read once. */
import type { FeatureEvidence, IndexedOn } from '../../shared/api.ts';
import { QUANTILES, type TablesManifest } from '../../shared/feature-tables.ts';
import {
  type ExampleRow,
  type FeatureTables,
  openFeatureTables,
  type TokenRange,
} from '../../store/index.ts';
import { cutTokens, ownTokens, passageSearch, windowAt } from './passages.ts';
import { type Evidence, maximumOf, type Said, sameToken, type TokenTexts } from './source.ts';

const KINDS = {
  top: 'top',
  decile: 'spread',
  interval: 'interval',
  random: 'random',
  near_miss: 'near_miss',
} as const;

/** Tokens are read in blocks of about so many, and so many blocks are kept (8 bytes a token). */
const [BLOCK, BLOCKS] = [32_768, 128];
/** The whole text is searched up to so many tokens. */
const MOST_SEARCHED = 4_000_000;

/** Tokens [from, to) of one packed row, and which of the ids is BOS, if there is one. */
type Ranges = (from: number, to: number) => Promise<TokenRange & { readonly bos: number | undefined }>;

/** What stands for no characters at the very beginning. */
async function bosOf(tables: FeatureTables): Promise<number | undefined> {
  const { ids, starts, ends } = await tables.text(0, 1);
  return starts[0] === ends[0] ? ids[0] : undefined;
}

function textOf(tables: FeatureTables): Ranges {
  const { contextLength: T } = tables.manifest;
  const length = T * Math.ceil(BLOCK / T);
  const blocks = new Map<number, Promise<TokenRange>>();
  let begin: Promise<number | undefined> | undefined;
  return async (from, to) => {
    const first = from - (from % length);
    const block = blocks.get(first) ?? tables.tokens(first, first + length);
    block.catch(() => blocks.delete(first));
    blocks.delete(first);
    blocks.set(first, block);
    if (blocks.size > BLOCKS) blocks.delete(blocks.keys().next().value!);
    begin ??= bosOf(tables);
    return { ...cutTokens(await block, from - first, to - first), bos: await begin };
  };
}

type Example = NonNullable<FeatureEvidence['examples']>[number];

/** Activations at places [from, to), 0 where it does not fire; `at` ascends. */
function valuesIn(
  { at, values }: { at: Int32Array; values: Float32Array },
  from: number,
  to: number,
): number[] {
  let [low, high] = [0, at.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (at[middle]! < from) low = middle + 1;
    else high = middle;
  }
  const found = new Array<number>(to - from).fill(0);
  for (; low < at.length && at[low]! < to; low++) found[at[low]! - from] = values[low]!;
  return found;
}

/** Of every document its number in the data, and its register where it has one. */
type Documents = {
  readonly document: ArrayLike<unknown>;
  readonly register: ArrayLike<unknown> | undefined;
};

/** The passages around places of one latent, with its activation at each token. */
async function readExamples(
  tables: FeatureTables,
  { text, documents }: { readonly text: Ranges; readonly documents: () => Promise<Documents> },
  latent: number,
  texts: TokenTexts,
): Promise<Example[]> {
  const { contextLength: T, positions } = tables.manifest;
  const [rows, fired, { document, register }] = await Promise.all([
    tables.examples(latent),
    tables.activations(latent),
    documents(),
  ]);
  const example = async ({ kind, value, at }: ExampleRow): Promise<Example> => {
    const [first, end] = windowAt(at, T, positions);
    const window = await text(first, end);
    const [from, to] = ownTokens(window, at - first, window.bos);
    const peak = at - first - from;
    const tokens = await texts.passage([...window.ids.subarray(from, to)], peak);
    const owner = window.documents[at - first]!;
    const name = register?.[owner];
    return {
      ...{ left: tokens.slice(0, peak), peak: tokens[peak]!, right: tokens.slice(peak + 1) },
      activations: valuesIn(fired, first + from, first + to),
      ...{ value, kind: KINDS[kind], document: Number(document[owner]) },
      ...(typeof name === 'string' ? { register: name } : {}),
    };
  };
  return await Promise.all(rows.map(example));
}

/** What text the tables are of. */
export const indexedOnOf = ({ tokens, documents, balance }: TablesManifest): IndexedOn => ({
  ...{ tokens, documents },
  ...(balance && { balance }),
});

/** undefined for tables of directions: those are no latents of an SAE. */
export async function tableSource(folder: string): Promise<Evidence | undefined> {
  const tables = await openFeatureTables(folder);
  if (tables.manifest.names) {
    await tables.close();
    return undefined;
  }
  const text = textOf(tables);
  const { F, latents: chosen } = tables.manifest;
  const indexedOn = indexedOnOf(tables.manifest);
  const column = await tables.columns(['density', 'max', 'guess', 'rank']);
  const places = chosen && new Map(chosen.map((latent, row) => [latent, row]));
  const rowOf = (latent: number): number | undefined =>
    places ? places.get(latent) : latent < F ? latent : undefined;
  // By rank, those without one last; numbers alone sort fast.
  const keys = Float64Array.from(column.rank, (rank, row) => (rank ?? F) * F + row);
  const latents = Array.from(keys.sort(), (key) => key % F)
    .filter((row) => column.density[row]! > 0)
    .map((row) => chosen?.[row] ?? row);

  let labels: readonly (string | null)[] | undefined;

  /** Latents, in order, in whose list of token ids one has this text, and its place there, from 1. */
  async function withToken(
    list: 'peak_tokens' | 'raises',
    token: string,
    texts: TokenTexts,
  ): Promise<ReadonlyMap<number, number>> {
    const { [list]: ids } = (await tables.columns([list])) as Record<
      typeof list,
      readonly (readonly number[])[]
    >;
    const unique = [...new Set(ids.flatMap((own) => [...own]))];
    const wanted = new Set<number>();
    const strings = await texts.names(unique);
    for (const [i, id] of unique.entries()) if (sameToken(strings[i]!, token)) wanted.add(id);
    const found = new Map<number, number>();
    for (const latent of latents) {
      const place = Array.from(ids[rowOf(latent)!]!).findIndex((id) => wanted.has(id));
      if (place >= 0) found.set(latent, place + 1);
    }
    return found;
  }

  const { positions } = tables.manifest;
  const inPassages =
    positions > MOST_SEARCHED
      ? undefined
      : passageSearch(tables, async () => {
          const [tokens, bos] = await Promise.all([tables.tokens(0, positions), bosOf(tables)]);
          return { ...tokens, bos };
        });
  let documents: Promise<Documents> | undefined;
  const readDocuments = (): Promise<Documents> => {
    const named = tables.manifest.columns.includes('register') ? ['register'] : [];
    documents ??= tables
      .documents(['document', ...named])
      .then(({ document, register }) => ({ document: document!, register }));
    documents.catch(() => {
      documents = undefined;
    });
    return documents;
  };

  return {
    latents,
    ...(inPassages && {
      async passages(word: string, texts: TokenTexts) {
        const near = await inPassages(word, texts);
        return {
          count: (latent: number) => near.count(rowOf(latent) ?? -1),
          first: async (latent: number) => await near.first(rowOf(latent) ?? -1),
        };
      },
    }),
    name(latent) {
      const row = rowOf(latent);
      if (row === undefined) return {};
      return { guess: column.guess[row]!, density: column.density[row]!, ...maximumOf(column.max[row]!) };
    },
    async about(latent, texts) {
      if (rowOf(latent) === undefined) return undefined;
      const [row, groups, examples] = await Promise.all([
        tables.latent(latent),
        tables.groups(latent),
        readExamples(tables, { text, documents: readDocuments }, latent, texts),
      ]);
      const effects = async (ids: readonly number[], by: readonly number[]) =>
        (await texts.names(ids)).map((token, i) => ({ token, id: ids[i]!, effect: by[i]! }));
      const {
        label,
        label_f1: f1,
        label_precision: precision,
        label_recall: recall,
        label_threshold: threshold,
        label_positives: positives,
      } = row;
      const labelled =
        label !== null && f1 !== null && precision !== null && recall !== null && threshold !== null;
      return {
        ...{ latent, density: row.density, guess: row.guess, entropy: row.entropy },
        ...maximumOf(row.max),
        indexedOn,
        ...{
          passages: row.passages,
          mean: row.mean,
          std: row.std,
          histogram: Array.from(row.histogram),
          examples,
        },
        quantiles: QUANTILES.map((at, i) => ({ at, value: row.quantiles[i]! })),
        ...(labelled
          ? {
              best: {
                label,
                kind: row.label_kind ?? 'concept',
                threshold,
                f1,
                precision,
                recall,
                positives: positives ?? 0,
              },
            }
          : {}),
        registers: groups
          .filter(({ column, fired }) => column === 'register' && fired > 0)
          .map(({ value, rate, fired }) => ({ name: value, rate, share: fired / row.fired }))
          .sort((a, b) => b.share - a.share),
        peakTokens: (await texts.names(row.peak_tokens)).map((token, i) => ({
          token,
          share: row.peak_shares[i]!,
        })),
        raises: await effects(row.raises, row.raises_by),
        lowers: await effects(row.lowers, row.lowers_by),
        together: Array.from(row.together, (other, i) => ({
          latent: other,
          jaccard: row.together_jaccard[i]!,
          tokens: row.together_tokens[i]!,
        })),
        groups: groups.map(({ column, value, tokens, fired, rate, rate_rest, low, high, q }) => ({
          ...{ column, value, tokens, fired, rate, rateRest: rate_rest, low, high, q },
        })),
      };
    },
    async neighbours(latent) {
      if (rowOf(latent) === undefined) return undefined;
      const { neighbours, neighbour_cosines } = await tables.latent(latent);
      return Array.from(neighbours, (other, i) => ({ latent: other, cosine: neighbour_cosines[i]! }));
    },
    async said() {
      labels ??= (await tables.columns(['label'])).label;
      const concepts = labels;
      return (latent) => {
        const row = rowOf(latent);
        if (row === undefined) return [];
        const concept = concepts[row];
        const said: Said[] = [{ in: 'guess', text: column.guess[row]! }];
        return concept ? [...said, { in: 'concept', text: concept }] : said;
      };
    },
    peaksAt: (token, texts) => withToken('peak_tokens', token, texts),
    raises: (token, texts) => withToken('raises', token, texts),
    close: () => tables.close(),
  };
}
