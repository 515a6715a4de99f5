/** Evidence from feature tables (saekit index), one latent a range of rows; what lists and searches need of all latents is read once. */
import type { FeatureEvidence } from '../../shared/api.ts';
import { QUANTILES } from '../../shared/feature-tables.ts';
import { type ExampleRow, type FeatureTables, openFeatureTables, type TextRange } from '../../store/index.ts';
import type { Evidence, TokenTexts } from './source.ts';

/** Tokens of a passage before and after its peak: a line of the app, and some to open. */
const [BEFORE, AFTER] = [24, 14];
const KINDS = { top: 'top', decile: 'spread', random: 'random', near_miss: 'near_miss' } as const;

/** A text of at most so many tokens is kept in memory (16 bytes each): a page of a table costs as much as all of it. */
const MOST_KEPT = 4_000_000;

type Text = {
  range(from: number, to: number): Promise<TextRange>;
  document(document: number): ReturnType<FeatureTables['document']>;
};

function textOf(tables: FeatureTables): Text {
  const { positions } = tables.manifest;
  let whole: Promise<TextRange> | undefined;
  const documents = new Map<number, ReturnType<FeatureTables['document']>>();
  return {
    async range(from, to) {
      if (positions > MOST_KEPT) return await tables.text(from, to);
      whole ??= tables.text(0, positions);
      const { ids, documents, starts, ends } = await whole;
      const cut = (column: Int32Array): Int32Array => column.subarray(from, to);
      return { ids: cut(ids), documents: cut(documents), starts: cut(starts), ends: cut(ends) };
    },
    document(number) {
      const known = documents.get(number) ?? tables.document(number);
      documents.set(number, known);
      return known;
    },
  };
}

type Example = NonNullable<FeatureEvidence['examples']>[number];

/** The passages around places of one latent, with its activation at each token. */
async function readExamples(
  tables: FeatureTables,
  text: Text,
  latent: number,
  texts: TokenTexts,
): Promise<Example[]> {
  const { contextLength: T, positions } = tables.manifest;
  const [rows, fired] = await Promise.all([tables.examples(latent), tables.activations(latent)]);
  const valueAt = new Map(Array.from(fired.at, (at, i) => [at, fired.values[i]!]));
  const example = async ({ kind, value, at }: ExampleRow): Promise<Example> => {
    const row = at - (at % T);
    const first = Math.max(row, at - BEFORE);
    const { ids, documents, starts, ends } = await text.range(
      first,
      Math.min(row + T, at + AFTER + 1, positions),
    );
    const owner = documents[at - first]!;
    let [from, to] = [at - first, at - first + 1];
    while (from > 0 && documents[from - 1] === owner) from--;
    while (to < ids.length && documents[to] === owner) to++;
    // BOS stands for no characters.
    while (from < at - first && starts[from]! >= 0 && starts[from] === ends[from]) from++;
    const peak = at - first - from;
    const tokens = await texts.passage([...ids.subarray(from, to)], peak);
    const document = await text.document(owner);
    return {
      ...{ left: tokens.slice(0, peak), peak: tokens[peak]!, right: tokens.slice(peak + 1) },
      activations: Array.from({ length: to - from }, (_, i) => valueAt.get(first + from + i) ?? 0),
      ...{ value, kind: KINDS[kind], document: Number(document.document) },
      ...(typeof document.register === 'string' ? { register: document.register } : {}),
    };
  };
  return await Promise.all(rows.map(example));
}

/** undefined for tables of directions: those are no latents of an SAE. */
export async function tableSource(folder: string): Promise<Evidence | undefined> {
  const tables = await openFeatureTables(folder);
  if (tables.manifest.names) {
    await tables.close();
    return undefined;
  }
  const text = textOf(tables);
  const column = await tables.columns(['latent', 'density', 'max', 'guess', 'label', 'rank']);
  const rows = Array.from(column.latent, (latent, row) => ({ latent, row }));
  const rowOf = new Map(rows.map(({ latent, row }) => [latent, row]));
  const rankOf = (row: number): number => column.rank[row] ?? Number.POSITIVE_INFINITY;
  const order = rows
    .filter(({ row }) => column.density[row]! > 0)
    .sort((a, b) => rankOf(a.row) - rankOf(b.row) || a.latent - b.latent || 0);
  const latents = order.map(({ latent }) => latent);

  /** Latents, in order, in whose list of token ids one has this text. */
  async function withToken(
    list: 'peak_tokens' | 'raises',
    token: string,
    texts: TokenTexts,
  ): Promise<number[]> {
    const { [list]: ids } = (await tables.columns([list])) as Record<
      typeof list,
      readonly (readonly number[])[]
    >;
    const unique = [...new Set(ids.flatMap((own) => [...own]))];
    const wanted = new Set<number>();
    const strings = await texts.names(unique);
    for (const [i, id] of unique.entries()) if (strings[i]!.trim() === token.trim()) wanted.add(id);
    return latents.filter((latent) => Array.from(ids[rowOf.get(latent)!]!).some((id) => wanted.has(id)));
  }

  return {
    latents,
    name(latent) {
      const row = rowOf.get(latent);
      if (row === undefined) return {};
      return { guess: column.guess[row]!, density: column.density[row]!, maximum: column.max[row]! };
    },
    async about(latent, texts) {
      if (!rowOf.has(latent)) return undefined;
      const [row, groups, examples] = await Promise.all([
        tables.latent(latent),
        tables.groups(latent),
        readExamples(tables, text, latent, texts),
      ]);
      const effects = async (ids: readonly number[], by: readonly number[]) =>
        (await texts.names(ids)).map((token, i) => ({ token, id: ids[i]!, effect: by[i]! }));
      const {
        label,
        label_f1: f1,
        label_precision: precision,
        label_recall: recall,
        label_threshold: threshold,
      } = row;
      const labelled =
        label !== null && f1 !== null && precision !== null && recall !== null && threshold !== null;
      return {
        ...{ latent, density: row.density, maximum: row.max, guess: row.guess, entropy: row.entropy },
        ...{
          passages: row.passages,
          mean: row.mean,
          std: row.std,
          histogram: Array.from(row.histogram),
          examples,
        },
        quantiles: QUANTILES.map((at, i) => ({ at, value: row.quantiles[i]! })),
        ...(labelled
          ? { best: { label, kind: row.label_kind ?? 'concept', threshold, f1, precision, recall } }
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
      if (!rowOf.has(latent)) return undefined;
      const { neighbours, neighbour_cosines } = await tables.latent(latent);
      return Array.from(neighbours, (other, i) => ({ latent: other, cosine: neighbour_cosines[i]! }));
    },
    async words(latent) {
      const row = rowOf.get(latent);
      return row === undefined ? '' : `${column.guess[row]}\n${column.label[row] ?? ''}`;
    },
    peaksAt: (token, texts) => withToken('peak_tokens', token, texts),
    raises: (token, texts) => withToken('raises', token, texts),
    close: () => tables.close(),
  };
}
