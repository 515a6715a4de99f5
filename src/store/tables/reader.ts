/** Feature tables, read one latent at a time: a range of rows of each table. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { type AsyncBuffer, type FileMetaData, parquetMetadataAsync, parquetRead } from 'hyparquet';
import { openFile } from '../../platform/node.ts';
import type { ByteSource } from '../../platform/types.ts';
import { UsageError } from '../../shared/errors.ts';
import {
  TABLES,
  type TableName,
  type TablesManifest,
  tablesManifestSchema,
} from '../../shared/feature-tables.ts';
import { migrate } from '../../shared/migrate.ts';
import { joinParts } from './join.ts';

export const MANIFEST_FILE = 'index.json';
/** Those that ship are gzipped (scripts/demo/pack.ts); ours are Snappy, which hyparquet knows itself. */
const compressors = { GZIP: (bytes: Uint8Array) => gunzipSync(bytes) };
/** Rows of latents that are kept, and blocks of documents of so many rows: a page of them costs as much as one. */
const RECENT = 64;
const DOCUMENTS = 4096;

export type LatentRow = {
  readonly latent: number;
  readonly name: string | null;
  readonly fired: number;
  readonly density: number;
  readonly passages: number;
  readonly mean: number;
  readonly std: number;
  readonly skewness: number;
  readonly max: number;
  readonly quantiles: readonly number[];
  readonly histogram: readonly number[];
  readonly entropy: number;
  readonly peak_tokens: readonly number[];
  readonly peak_texts: readonly string[];
  readonly peak_shares: readonly number[];
  readonly guess: string;
  readonly label: string | null;
  readonly label_kind: string | null;
  readonly label_f1: number | null;
  readonly label_precision: number | null;
  readonly label_recall: number | null;
  readonly label_threshold: number | null;
  readonly label_positives: number | null;
  readonly rank: number | null;
  readonly interest: number | null;
  readonly raises: readonly number[];
  readonly raises_texts: readonly string[];
  readonly raises_by: readonly number[];
  readonly lowers: readonly number[];
  readonly lowers_texts: readonly string[];
  readonly lowers_by: readonly number[];
  readonly neighbours: readonly number[];
  readonly neighbour_cosines: readonly number[];
  readonly together: readonly number[];
  readonly together_jaccard: readonly number[];
  readonly together_tokens: readonly number[];
  readonly activations_row: number;
  readonly examples_row: number;
  readonly examples: number;
  readonly groups_row: number;
  readonly groups: number;
};
export type ExampleRow = {
  readonly kind: 'top' | 'decile' | 'interval' | 'random' | 'near_miss';
  readonly rank: number;
  readonly value: number;
  readonly at: number;
};
export type GroupRow = {
  readonly column: string;
  readonly value: string;
  readonly tokens: number;
  readonly fired: number;
  readonly rate: number;
  readonly rate_rest: number;
  readonly low: number | null;
  readonly high: number | null;
  readonly p: number | null;
  readonly q: number | null;
};
export type DocumentRow = Readonly<Record<string, string | number | null>>;
export type TextRange = {
  readonly ids: Int32Array;
  readonly documents: Int32Array;
  readonly starts: Int32Array;
  readonly ends: Int32Array;
};

/** Token ids, and of each its row in `documents`. */
export type TokenRange = Pick<TextRange, 'ids' | 'documents'>;

export type FeatureTables = {
  readonly folder: string;
  readonly manifest: TablesManifest;
  /** Everything about one latent but its activations. Throws UsageError when it is not in the tables. */
  latent(latent: number): Promise<LatentRow>;
  examples(latent: number): Promise<ExampleRow[]>;
  groups(latent: number): Promise<GroupRow[]>;
  /** `at` of all rows of `examples`; −1 for near misses. */
  places(): Promise<Int32Array>;
  /** All activations of a latent, in text order. */
  activations(latent: number): Promise<{ values: Float32Array; at: Int32Array }>;
  /** Places [from, to) of the text. */
  text(from: number, to: number): Promise<TextRange>;
  /** The same without where the tokens stand: half as much to read. */
  tokens(from: number, to: number): Promise<TokenRange>;
  /** Activations of a latent at places [from, to), 0 where it does not fire. */
  valuesAt(latent: number, from: number, to: number): Promise<Float32Array>;
  /** Whole columns of `latents`, for lists and searches. */
  columns<K extends keyof LatentRow>(names: readonly K[]): Promise<{ [N in K]: readonly LatentRow[N][] }>;
  /** Whole columns of `documents`. */
  documents(names: readonly string[]): Promise<Readonly<Record<string, ArrayLike<unknown>>>>;
  /** A row of `documents`: id, tokens and label columns. */
  document(document: number): Promise<DocumentRow>;
  close(): Promise<void>;
};

export type Table = {
  readonly rows: number;
  /** Columns of the rows [from, to); all columns where none is named. */
  read(names: readonly string[], from: number, to: number): Promise<Record<string, ArrayLike<unknown>>>;
};

/** Opens the footer when the table is first asked for. */
function openTable(
  source: () => Promise<ByteSource>,
  columns: readonly { name: string }[],
): () => Promise<Table> {
  let opened: Promise<Table> | undefined;
  return () => {
    opened ??= (async () => {
      const bytes = await source();
      const file: AsyncBuffer = {
        byteLength: bytes.byteLength,
        async slice(start, end = bytes.byteLength) {
          const part = await bytes.slice(start, end);
          return part.buffer.slice(part.byteOffset, part.byteOffset + part.byteLength) as ArrayBuffer;
        },
      };
      const metadata: FileMetaData = await parquetMetadataAsync(file);
      const rows = Number(metadata.num_rows);
      return {
        rows,
        async read(names, from, to) {
          const known = columns.map(({ name }) => name);
          const wanted = names.length > 0 ? names : known;
          const parts = new Map<string, { from: number; data: ArrayLike<unknown> }[]>(
            wanted.map((n) => [n, []]),
          );
          if (to > from)
            await parquetRead({
              file,
              metadata,
              compressors,
              columns: [...wanted],
              rowStart: from,
              rowEnd: to,
              useOffsetIndex: true,
              onChunk: ({ columnName, columnData, rowStart }) =>
                void parts.get(columnName)!.push({ from: rowStart, data: columnData as ArrayLike<unknown> }),
            });
          return Object.fromEntries([...parts].map(([name, chunks]) => [name, joined(chunks, from, to)]));
        },
      };
    })();
    return opened;
  };
}

/** One table that was written by `createTableWriter`. */
export async function openTableFile(
  path: string,
  columns: readonly { name: string }[],
): Promise<Table & { close(): Promise<void> }> {
  const source = await openFile(path);
  const table = await openTable(async () => source, columns)();
  return { ...table, close: async () => await source.close?.() };
}

/** The rows [from, to) of chunks that may reach further. */
function joined(
  chunks: readonly { from: number; data: ArrayLike<unknown> }[],
  from: number,
  to: number,
): ArrayLike<unknown> {
  const cut = (chunk: { from: number; data: ArrayLike<unknown> }): ArrayLike<unknown> => {
    const { data } = chunk;
    const [a, b] = [Math.max(0, from - chunk.from), Math.min(data.length, to - chunk.from)];
    return ArrayBuffer.isView(data) ? (data as Float32Array).subarray(a, b) : (data as unknown[]).slice(a, b);
  };
  return joinParts(chunks.toSorted((x, y) => x.from - y.from).map(cut), to - from);
}

/** What the tables in a folder were made from. @throws UsageError when there are none */
export async function readTablesManifest(folder: string): Promise<TablesManifest> {
  const path = join(folder, MANIFEST_FILE);
  const text = await readFile(path, 'utf8').catch(() => {
    throw new UsageError(
      `${folder} has no feature tables (${MANIFEST_FILE}). Make them with: saekit index RUN`,
    );
  });
  return tablesManifestSchema.parse(migrate('tables', JSON.parse(text), path));
}

/**
 * Opens the feature tables in a folder.
 *
 * @throws UsageError when there are none
 */
export async function openFeatureTables(folder: string): Promise<FeatureTables> {
  const manifest = await readTablesManifest(folder);
  const sources: ByteSource[] = [];
  const open = (name: TableName) =>
    openTable(
      async () => {
        const source = await openFile(join(folder, `${name}.parquet`));
        sources.push(source);
        return source;
      },
      name === 'documents'
        ? [...TABLES.documents, ...manifest.columns.map((column) => ({ name: column }))]
        : TABLES[name],
    );
  const tables = {
    latents: open('latents'),
    activations: open('activations'),
    examples: open('examples'),
    groups: open('groups'),
    tokens: open('tokens'),
    documents: open('documents'),
  };
  const places = manifest.latents && new Map(manifest.latents.map((latent, row) => [latent, row]));
  const rowOf = (latent: number): number => {
    const row = places ? places.get(latent) : latent;
    if (row === undefined || !Number.isInteger(row) || row < 0 || row >= manifest.F)
      throw new UsageError(
        `Latent ${latent} is not in the tables of ${folder}: they have ${places ? `${places.size} chosen latents` : `0 to ${manifest.F - 1}`}.`,
      );
    return row;
  };
  async function rowsAs<R>(name: TableName, from: number, to: number): Promise<R[]> {
    const data = await (await tables[name]()).read([], from, to);
    const names = Object.keys(data);
    return Array.from(
      { length: to - from },
      (_, i) => Object.fromEntries(names.map((column) => [column, data[column]![i]])) as R,
    );
  }
  const documents = new Map<number, Promise<DocumentRow[]>>();
  // One look at a latent asks for its row several times.
  const recent = new Map<number, Promise<LatentRow>>();
  const latent = async (f: number): Promise<LatentRow> => {
    const row = rowOf(f);
    let found = recent.get(row);
    if (!found) {
      found = rowsAs<LatentRow>('latents', row, row + 1).then(([one]) => one!);
      found.catch(() => recent.delete(row));
      recent.set(row, found);
      if (recent.size > RECENT) recent.delete(recent.keys().next().value!);
    }
    return await found;
  };
  const activations: FeatureTables['activations'] = async (f) => {
    const { activations_row: row, fired } = await latent(f);
    const { value, at } = await (await tables.activations()).read(['value', 'at'], row, row + fired);
    return {
      values: Float32Array.from(value as ArrayLike<number>),
      at: Int32Array.from(at as ArrayLike<number>),
    };
  };
  async function ofTokens(names: readonly string[], from: number, to: number): Promise<Int32Array[]> {
    const read = await (await tables.tokens()).read(
      names,
      Math.max(0, from),
      Math.min(manifest.positions, to),
    );
    return names.map((name) => {
      const data = read[name]!;
      return data instanceof Int32Array ? data : Int32Array.from(data as ArrayLike<number>);
    });
  }
  return {
    folder,
    manifest,
    latent,
    activations,
    async examples(f) {
      const { examples_row, examples } = await latent(f);
      return await rowsAs<ExampleRow>('examples', examples_row, examples_row + examples);
    },
    async groups(f) {
      const { groups_row, groups } = await latent(f);
      return await rowsAs<GroupRow>('groups', groups_row, groups_row + groups);
    },
    async places() {
      const table = await tables.examples();
      const { at, value } = await table.read(['at', 'value'], 0, table.rows);
      // Millions: a plain loop over a copy is ten times as fast as a function of each.
      const places = Int32Array.from(at as ArrayLike<number>);
      for (let i = 0; i < places.length; i++) if (value![i] === 0) places[i] = -1;
      return places;
    },
    async text(from, to) {
      const [ids, documents, starts, ends] = await ofTokens(['id', 'document', 'start', 'end'], from, to);
      return { ids: ids!, documents: documents!, starts: starts!, ends: ends! };
    },
    async tokens(from, to) {
      const [ids, documents] = await ofTokens(['id', 'document'], from, to);
      return { ids: ids!, documents: documents! };
    },
    async valuesAt(f, from, to) {
      const { values, at } = await activations(f);
      const found = new Float32Array(to - from);
      for (const [i, place] of at.entries())
        if (place >= from && place < to) found[place - from] = values[i]!;
      return found;
    },
    async columns(names) {
      const table = await tables.latents();
      return (await table.read(names, 0, table.rows)) as never;
    },
    async documents(names) {
      const table = await tables.documents();
      return await table.read(names, 0, table.rows);
    },
    async document(document) {
      const from = document - (document % DOCUMENTS);
      let block = documents.get(from);
      if (!block) {
        block = tables
          .documents()
          .then(({ rows }) => rowsAs<DocumentRow>('documents', from, Math.min(rows, from + DOCUMENTS)));
        block.catch(() => documents.delete(from));
        documents.set(from, block);
        if (documents.size > RECENT) documents.delete(documents.keys().next().value!);
      }
      return (await block)[document - from]!;
    },
    async close() {
      await Promise.all(sources.map((source) => source.close?.()));
    },
  };
}
