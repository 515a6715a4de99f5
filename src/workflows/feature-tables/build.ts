/**
 * Second pass: blocks -> tables. The blocks are read once for the text and what the cards know, then once per range of latents.
 */
import { join } from 'node:path';
import type { DocumentSet, PackedRows } from '../../data/index.ts';
import { benjaminiHochberg } from '../../eval/statistics/multiple.ts';
import { guessLabel } from '../../explain/guess.ts';
import {
  chooseInteresting,
  createFeatureIndex,
  type FeatureIndex,
  type Labeller,
  type Unembed,
} from '../../explain/index.ts';
import { directionsOf, extremeIds } from '../../explain/logit-effects.ts';
import {
  createGroupTest,
  createTogether,
  distribution,
  examplesOf,
  type GroupRate,
  gatherEntries,
  indexTokens,
  nearestRows,
  rangesOf,
  type TextCodes,
  type TextTokens,
} from '../../explain/tables/index.ts';
import { TABLES, type TableName } from '../../shared/feature-tables.ts';
import { type Block, type BlockStore, createTableWriter, type TableWriter } from '../../store/index.ts';
import { MODEL_BATCH_SEQUENCES } from '../plan.ts';
import type { DocumentLabels } from './labels-of.ts';
import type { Subject } from './subject.ts';

/** Activations in memory at once: 8 bytes each. */
const MOST_ENTRIES = 16e6;
/** Tokens on which latents that fire together are counted. */
const SAMPLE_TOKENS = 131_072;
const NEIGHBOURS = 12;
const LOGITS = 12;
const SHORTLIST = 256;
/** Rows of a row group: a query decodes one. */
const GROUP = { latents: 256, activations: 65_536, examples: 4096, groups: 4096 } as const;

export type BuildOptions = {
  readonly folder: string;
  readonly blocks: BlockStore;
  readonly subject: Subject;
  readonly documents: DocumentSet;
  readonly labeller: Labeller;
  readonly unembed?: Unembed;
  readonly tokenStrings: (ids: readonly number[]) => string[];
  readonly labels: DocumentLabels;
  readonly seed: number;
  readonly signal?: AbortSignal;
  /** Latents that are done. */
  readonly onProgress?: (latents: number, of: number) => void;
};

export type Built = {
  readonly tokens: number;
  readonly positions: number;
  readonly documents: number;
  readonly activations: number;
  readonly columns: readonly string[];
};

/** Writes all tables; each appears when all are whole. */
export async function buildTables(options: BuildOptions): Promise<Built> {
  const { folder, documents, signal } = options;
  const writers: TableWriter[] = [];
  const open = (name: TableName, more: readonly string[] = []): TableWriter => {
    const extra = more.map(
      (column) => ({ name: column, type: 'string', nullable: true, about: '' }) as const,
    );
    const writer = createTableWriter(join(folder, `${name}.parquet`), [...TABLES[name], ...extra]);
    writers.push(writer);
    return writer;
  };
  try {
    const text = await readText(options, open('tokens'));
    const perDocument = new Int32Array(documents.count);
    for (let at = 0; at < text.tokens.ids.length; at++)
      if (text.tokens.measured[at]) perDocument[text.tokens.documents[at]!]!++;
    const { ids, columns } = options.labels;
    const documentTable = open(
      'documents',
      columns.map(({ column }) => column),
    );
    await documentTable.write({
      document: Int32Array.from(ids.keys()),
      id: ids,
      tokens: perDocument,
      ...Object.fromEntries(
        columns.map(({ column, values, ofDocument }) => [
          column,
          Array.from(ofDocument, (v) => values[v] ?? null),
        ]),
      ),
    });
    const test = createGroupTest(columns, perDocument);
    const activations = await writeLatents(options, text, test, open);
    signal?.throwIfAborted();
    for (const writer of writers) await writer.finish();
    return {
      tokens: text.index.rows,
      positions: text.tokens.ids.length,
      documents: perDocument.filter((n) => n > 0).length,
      activations,
      columns: columns.map(({ column }) => column),
    };
  } catch (error) {
    for (const writer of writers) await writer.abort();
    throw error;
  }
}

type Text = {
  readonly tokens: TextTokens;
  readonly index: FeatureIndex;
  /** Entries of every latent [F]. */
  readonly counts: Int32Array;
  readonly together: ReturnType<typeof createTogether>;
};

/** The text once through: its table, what the cards know of latents, and the sample of codes. */
async function readText(
  { blocks, subject: { F }, labeller, seed, signal }: BuildOptions,
  table: TableWriter,
): Promise<Text> {
  const index = createFeatureIndex(F, { labeller, seed });
  const counts = new Int32Array(F);
  const kept: Block[] = [];
  const sample: { offsets: number[]; latents: number[] } = { offsets: [0], latents: [] };
  let T = 1;
  let positions = 0;
  const measuredOf = ({ ids, positions: own }: Block): Int32Array => {
    const measured = new Int32Array(ids.length);
    for (const position of own) measured[position] = 1;
    return measured;
  };
  for (let b = 0; b < blocks.count; b++) {
    signal?.throwIfAborted();
    const block = await blocks.read(b);
    T = block.T;
    for (const latent of block.latents) counts[latent]!++;
    for (const rows of batchesOf(block)) await index.add(rows);
    for (let i = 0; i < block.positions.length && sample.offsets.length <= SAMPLE_TOKENS; i++) {
      for (let k = block.offsets[i]!; k < block.offsets[i + 1]!; k++) sample.latents.push(block.latents[k]!);
      sample.offsets.push(sample.latents.length);
    }
    const { ids, documents, starts, ends } = block;
    await table.write({
      id: ids,
      document: documents,
      start: starts,
      end: ends,
      measured: measuredOf(block),
    });
    positions += ids.length;
    const none = new Int32Array(0);
    kept.push({
      ...block,
      latents: none,
      offsets: none,
      starts: none,
      ends: none,
      values: new Float32Array(0),
    });
  }
  const [ids, documents, measured] = [
    new Int32Array(positions),
    new Int32Array(positions),
    new Uint8Array(positions),
  ];
  let base = 0;
  for (const block of kept) {
    ids.set(block.ids, base);
    documents.set(block.documents, base);
    for (const position of block.positions) measured[base + position] = 1;
    base += block.ids.length;
  }
  return {
    tokens: indexTokens(T, ids, documents, measured),
    index,
    counts,
    together: createTogether(F, {
      offsets: Int32Array.from(sample.offsets),
      latents: Int32Array.from(sample.latents),
    }),
  };
}

/** A block as the rows that the model read, with codes of one width. */
function* batchesOf(block: Block) {
  const { R, T, ids, documents, starts, ends, positions, offsets, latents, values } = block;
  let first = 0;
  for (let row = 0; row < R; row += MODEL_BATCH_SEQUENCES) {
    const [from, to] = [row * T, Math.min(R, row + MODEL_BATCH_SEQUENCES) * T];
    let last = first;
    let K = 1;
    for (; last < positions.length && positions[last]! < to; last++)
      K = Math.max(K, offsets[last + 1]! - offsets[last]!);
    const n = last - first;
    const code = { K, values: new Float32Array(n * K), indices: new Int32Array(n * K) };
    for (let i = 0; i < n; i++) {
      const [a, b] = [offsets[first + i]!, offsets[first + i + 1]!];
      code.values.set(values.subarray(a, b), i * K);
      code.indices.set(latents.subarray(a, b), i * K);
    }
    const packed: PackedRows = {
      ...{ R: (to - from) / T, T },
      ids: ids.subarray(from, to),
      mask: Uint8Array.from(documents.subarray(from, to), (document) => (document < 0 ? 0 : 1)),
      documents: documents.subarray(from, to),
      starts: starts.subarray(from, to),
      ends: ends.subarray(from, to),
    };
    yield { packed, positions: positions.slice(first, last).map((position) => position - from), code };
    first = last;
  }
}

async function* stretchesOf(blocks: BlockStore, signal: AbortSignal | undefined): AsyncGenerator<TextCodes> {
  let base = 0;
  for (let b = 0; b < blocks.count; b++) {
    signal?.throwIfAborted();
    const block = await blocks.read(b);
    yield { base, ...block };
    base += block.ids.length;
  }
}

/** Columns that grow row by row and are written as a row group now and then. */
function rowBuffer(writer: TableWriter, size: number) {
  let rows: Record<string, unknown>[] = [];
  const flush = async (): Promise<void> => {
    if (rows.length === 0) return;
    const names = Object.keys(rows[0]!);
    const full = rows;
    rows = [];
    await writer.write(Object.fromEntries(names.map((name) => [name, full.map((row) => row[name])])));
  };
  return {
    get next() {
      return writer.rows + rows.length;
    },
    async add(row: Record<string, unknown>): Promise<void> {
      rows.push(row);
      if (rows.length >= size) await flush();
    },
    flush,
  };
}

async function writeLatents(
  { blocks, subject, unembed, tokenStrings, seed, signal, onProgress }: BuildOptions,
  { tokens, index, counts, together }: Text,
  test: ReturnType<typeof createGroupTest>,
  open: (name: TableName) => TableWriter,
): Promise<number> {
  const { F, W_dec, names } = subject;
  const chosen = subject.latents ?? Array.from({ length: F }, (_, f) => f);
  const included = new Uint8Array(F);
  for (const latent of chosen) included[latent] = 1;
  const stop = signal ? { signal } : {};
  const interesting = await chooseInteresting(index, {
    W_dec,
    ...(unembed ? { unembed } : {}),
    count: SHORTLIST,
    ...stop,
  });
  const rankOf = new Map(
    interesting.map((scored, rank) => [scored.latent, { rank, interest: scored.total }]),
  );
  const near = await nearestRows(W_dec, F, chosen, Math.min(NEIGHBOURS, F), stop);
  const k = near.latents.length / chosen.length;

  const latents = rowBuffer(open('latents'), GROUP.latents);
  const examples = rowBuffer(open('examples'), GROUP.examples);
  const activations = open('activations');
  const groupTable = open('groups');
  const rates: (GroupRate & { latent: number })[] = [];
  let pending: { latent: Int32Array; value: Float32Array; at: Int32Array }[] = [];
  let waiting = 0;
  const flushActivations = async (): Promise<void> => {
    if (waiting === 0) return;
    const all = {
      latent: new Int32Array(waiting),
      value: new Float32Array(waiting),
      at: new Int32Array(waiting),
    };
    let row = 0;
    for (const part of pending) {
      all.latent.set(part.latent, row);
      all.value.set(part.value, row);
      all.at.set(part.at, row);
      row += part.at.length;
    }
    [pending, waiting] = [[], 0];
    await activations.write(all);
  };

  const effects = logitTiles(chosen, W_dec, F, unembed, tokenStrings, signal);
  let done = 0;
  for (const [from, to] of rangesOf(counts, MOST_ENTRIES)) {
    const entriesOf = await gatherEntries(counts, [from, to], stretchesOf(blocks, signal));
    for (let latent = from; latent < to; latent++) {
      if (included[latent] === 0) continue;
      signal?.throwIfAborted();
      const entries = entriesOf(latent);
      const falling = entries.values.slice().sort().reverse();
      const shown = examplesOf(latent, entries, tokens, seed);
      const groups = test(entries, tokens.documents);
      const best = index.best(latent);
      const peakTokens = index.peakTokens(latent).slice(0, 8);
      const strongest = tokenStrings(
        shown.filter(({ kind }) => kind === 'top').map(({ at }) => tokens.ids[at]!),
      );
      const registers = index.registers(latent).filter(({ share }) => share > 0);
      const neighbours = Array.from({ length: k }, (_, i) => done * k + i).filter(
        (i) => near.latents[i]! >= 0,
      );
      const partners = together(latent);
      const logits = await effects(done);
      const { histogram, ...moments } = distribution(falling);
      await latents.add({
        latent,
        name: names?.[latent] ?? null,
        fired: falling.length,
        density: falling.length / index.rows,
        passages: index.passages(latent),
        ...moments,
        histogram: [...histogram],
        entropy: falling.length > 0 ? index.entropy(latent) : 0,
        peak_tokens: peakTokens.map(({ id }) => id),
        peak_texts: tokenStrings(peakTokens.map(({ id }) => id)),
        peak_shares: peakTokens.map(({ share }) => share),
        guess: guessLabel({ ...(best ? { best } : {}), registers }, strongest),
        label: best?.label ?? null,
        label_kind: best?.kind ?? null,
        label_f1: best?.f1 ?? null,
        label_precision: best?.precision ?? null,
        label_recall: best?.recall ?? null,
        label_threshold: best?.threshold ?? null,
        label_positives: best?.positives ?? null,
        rank: rankOf.get(latent)?.rank ?? null,
        interest: rankOf.get(latent)?.interest ?? null,
        ...logits,
        neighbours: neighbours.map((i) => near.latents[i]!),
        neighbour_cosines: neighbours.map((i) => near.cosines[i]!),
        together: partners.latents,
        together_jaccard: partners.jaccard,
        together_tokens: partners.tokens,
        activations_row: activations.rows + waiting,
        examples_row: examples.next,
        examples: shown.length,
        groups_row: rates.length,
        groups: groups.length,
      });
      for (const example of shown) await examples.add({ latent, ...example });
      for (const rate of groups) rates.push({ latent, ...rate });
      pending.push({
        latent: new Int32Array(falling.length).fill(latent),
        value: entries.values,
        at: entries.at,
      });
      waiting += falling.length;
      if (waiting >= GROUP.activations) await flushActivations();
      onProgress?.(++done, chosen.length);
    }
  }
  await latents.flush();
  await examples.flush();
  await flushActivations();
  await writeGroups(rates, groupTable);
  return activations.rows;
}

async function writeGroups(
  rates: readonly (GroupRate & { latent: number })[],
  table: TableWriter,
): Promise<void> {
  // Of those that were tested, in order.
  const adjusted = benjaminiHochberg(rates.flatMap(({ p }) => p ?? []));
  let tested = 0;
  const rows = rowBuffer(table, GROUP.groups);
  for (const { rateRest, ...rate } of rates)
    await rows.add({
      latent: rate.latent,
      column: rate.column,
      value: rate.value,
      tokens: rate.tokens,
      fired: rate.fired,
      rate: rate.rate,
      rate_rest: rateRest,
      low: rate.low,
      high: rate.high,
      p: rate.p,
      q: rate.p === null ? null : adjusted[tested++]!,
    });
  await rows.flush();
}

/** Raised and lowered tokens of the i-th of `latents`, computed for 64 at a time. */
function logitTiles(
  latents: readonly number[],
  W_dec: Float32Array,
  F: number,
  unembed: Unembed | undefined,
  tokenStrings: BuildOptions['tokenStrings'],
  signal: AbortSignal | undefined,
) {
  const TILE = 64;
  const none = { raises: [], raises_texts: [], raises_by: [], lowers: [], lowers_texts: [], lowers_by: [] };
  let tile: { first: number; logits: Float32Array; V: number } | undefined;
  const tokenString = (id: number) => tokenStrings([id])[0]!;
  return async (i: number): Promise<Record<keyof typeof none, readonly (number | string)[]>> => {
    if (!unembed) return none;
    if (!tile || i >= tile.first + TILE) {
      const part = latents.slice(i, i + TILE);
      const logits = await unembed(directionsOf(part, W_dec, F), part.length, signal ? { signal } : {});
      tile = { first: i, logits, V: logits.length / part.length };
    }
    const { first, logits, V } = tile;
    const effects = logits.subarray((i - first) * V, (i - first + 1) * V);
    const [raises, lowers] = ([1, -1] as const).map((sign) => extremeIds(effects, LOGITS, sign, tokenString));
    return {
      raises: raises!,
      raises_texts: tokenStrings(raises!),
      raises_by: raises!.map((id) => effects[id]!),
      lowers: lowers!,
      lowers_texts: tokenStrings(lowers!),
      lowers_by: lowers!.map((id) => effects[id]!),
    };
  };
}
