/**
 * Second pass: blocks -> tables. The blocks are read once for the text and what the cards know, then once per range of latents.
 */
import { join } from 'node:path';
import type { DocumentSet } from '../../data/index.ts';
import { benjaminiHochberg } from '../../eval/statistics/multiple.ts';
import { guessLabel } from '../../explain/guess.ts';
import { chooseInteresting, type Labeller, type Unembed } from '../../explain/index.ts';
import {
  createGroupTest,
  distribution,
  examplesOf,
  type GroupRate,
  gatherEntries,
  nearestRows,
  rangesOf,
} from '../../explain/tables/index.ts';
import { TABLES, type TableName } from '../../shared/feature-tables.ts';
import {
  type BlockStore,
  columnBuffer,
  createTableWriter,
  openTableFile,
  ROW_GROUP,
  rowBuffer,
  type TableWriter,
} from '../../store/index.ts';
import type { DocumentLabels } from './labels-of.ts';
import { logitTiles } from './logit-tiles.ts';
import { readText, stretchesOf, type Text } from './read-text.ts';
import { keptOf, type Subject } from './subject.ts';

/** Activations in memory at once: 8 bytes each. */
const MOST_ENTRIES = 16e6;
const NEIGHBOURS = 12;
const SHORTLIST = 256;

export type BuildOptions = {
  readonly folder: string;
  readonly blocks: BlockStore;
  /** Folder for rows that wait; whoever removes it does so after the tables are whole. */
  readonly waiting: string;
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
    const text = await readText(
      { ...options, F: options.subject.F, kept: keptOf(options.subject), signal },
      open('tokens'),
    );
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

async function writeLatents(
  { blocks, waiting, subject, unembed, tokenStrings, seed, signal, onProgress }: BuildOptions,
  { tokens, index, counts, together }: Text,
  test: ReturnType<typeof createGroupTest>,
  open: (name: TableName) => TableWriter,
): Promise<number> {
  const { F, W_dec, names } = subject;
  const chosen = subject.latents ?? Array.from({ length: F }, (_, f) => f);
  const kept = keptOf(subject);
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

  const latents = rowBuffer(open('latents'), ROW_GROUP.latents);
  const examples = rowBuffer(open('examples'), ROW_GROUP.examples);
  const activations = columnBuffer(open('activations'), ROW_GROUP.activations);
  const rates = groupBuffer(open('groups'), join(waiting, 'groups.parquet'));
  const effects = logitTiles(chosen, W_dec, F, unembed, tokenStrings, signal);
  let done = 0;
  for (const [from, to] of rangesOf(counts, MOST_ENTRIES)) {
    const entriesOf = await gatherEntries(counts, [from, to], stretchesOf(blocks, kept, signal));
    for (let latent = from; latent < to; latent++) {
      if (kept?.[latent] === 0) continue;
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
        activations_row: activations.next,
        examples_row: examples.next,
        examples: shown.length,
        groups_row: rates.next,
        groups: groups.length,
      });
      for (const example of shown) await examples.add({ latent, ...example });
      for (const rate of groups) await rates.add(latent, rate);
      await activations.add({
        latent: new Int32Array(falling.length).fill(latent),
        value: entries.values,
        at: entries.at,
      });
      onProgress?.(++done, chosen.length);
    }
  }
  await latents.flush();
  await examples.flush();
  await activations.flush();
  await rates.finish();
  return activations.next;
}

/** q of every row needs the p of all, which are more than fit in memory: the rows wait on disk. */
function groupBuffer(table: TableWriter, path: string) {
  const columns = TABLES.groups.filter(({ name }) => name !== 'q');
  const waiting = createTableWriter(path, columns);
  const rows = rowBuffer(waiting, ROW_GROUP.groups);
  const tested: number[] = [];
  return {
    get next() {
      return rows.next;
    },
    async add(latent: number, { rateRest, ...rate }: GroupRate): Promise<void> {
      if (rate.p !== null) tested.push(rate.p);
      await rows.add({ latent, ...rate, rate_rest: rateRest });
    },
    async finish(): Promise<void> {
      await rows.flush();
      await waiting.finish();
      const adjusted = benjaminiHochberg(tested);
      let at = 0;
      const file = await openTableFile(path, columns);
      try {
        for (let from = 0; from < file.rows; from += ROW_GROUP.groups) {
          const part = await file.read([], from, Math.min(file.rows, from + ROW_GROUP.groups));
          const q = Array.from(part.p!, (p) => (typeof p === 'number' ? adjusted[at++]! : null));
          await table.write({ ...part, q });
        }
      } finally {
        await file.close();
      }
    },
  };
}
