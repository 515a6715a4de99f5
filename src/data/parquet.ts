/**
 * Parquet (https://parquet.apache.org/docs/file-format/) -> rows and documents, one row group at a time: from a file, from memory, or over
 * HTTP by range. Of a row group only the columns that are asked for are read.
 *
 * Not here: row groups whose text column is beyond 1 GiB; nearly all writers stay far below.
 */
import { type AsyncBuffer, parquetMetadataAsync, parquetReadObjects, parquetSchema } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import type { ByteSource } from '../platform/types.ts';
import { nearestNames } from '../shared/nearest.ts';
import { documentOf } from './documents.ts';
import { DocumentError } from './messages.ts';
import type { Document } from './types.ts';

/** What is read of a row group is decoded whole. */
const MAX_GROUP_BYTES = 2 ** 30;
/** Row groups kept after decoding, of all files that share a cache: the one being read, and one for a second reader. */
const KEPT_GROUPS = 2;
/** Columns that mean something beside the text (see documents.ts). */
const KNOWN_COLUMNS = ['id', 'register'];

export type TableRow = { readonly number: number; readonly fields: Readonly<Record<string, unknown>> };

/** A column that is not there: says which are, nearest first. */
export function noColumn(path: string, column: string, found: readonly string[]): Error {
  const near = nearestNames(column, found);
  return new Error(
    `${path}: no column "${column}". ${near.length > 0 ? `Did you mean ${near.join(' or ')}? ` : ''}It has ${found.slice(0, 12).join(', ')}. Name the right one with --text-field.`,
  );
}

export type ParquetTable = {
  /** First row of every row group, and after the last the number of rows. */
  readonly groups: readonly number[];
  readonly columns: readonly string[];
  /** The rows of a row group with these columns, or all of them. Throws when it is damaged, naming the rows. */
  readGroup(group: number, columns?: readonly string[]): Promise<Rows>;
};

/**
 * Reads the footer.
 *
 * @throws when the file is no Parquet file or truncated, or has no such column (nearest offered)
 */
export async function openParquetTable(
  source: ByteSource,
  { name, column }: { readonly name: string; readonly column: string },
): Promise<ParquetTable> {
  const file: AsyncBuffer = {
    byteLength: source.byteLength,
    async slice(start, end = source.byteLength) {
      const bytes = await source.slice(start, end);
      const { buffer, byteOffset, byteLength } = bytes;
      return byteLength === buffer.byteLength
        ? (buffer as ArrayBuffer)
        : (buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer);
    },
  };
  const metadata = await parquetMetadataAsync(file).catch((error: Error) => {
    throw new Error(
      `${name}: not a whole Parquet file (${error.message}). Download it again, or check its name.`,
    );
  });
  const columns = parquetSchema(metadata).children.map(({ element }) => element.name);
  if (!columns.includes(column)) throw noColumn(name, column, columns);
  const groups = [0];
  for (const { num_rows } of metadata.row_groups) groups.push(groups.at(-1)! + Number(num_rows));

  return {
    groups,
    columns,
    async readGroup(group, wanted = columns) {
      const [rowStart, rowEnd] = [groups[group]!, groups[group + 1]!];
      const rows = `${name}, rows ${rowStart + 1} to ${rowEnd}`;
      let bytes = 0;
      for (const { meta_data: data } of metadata.row_groups[group]!.columns)
        if (data && wanted.includes(data.path_in_schema[0]!)) bytes += Number(data.total_uncompressed_size);
      if (bytes > MAX_GROUP_BYTES)
        throw new Error(
          `${rows}: ${bytes} bytes in one row group, which is read whole; at most ${MAX_GROUP_BYTES}. Write it with smaller row groups.`,
        );
      return await parquetReadObjects({
        file,
        metadata,
        compressors,
        columns: [...wanted],
        rowStart,
        rowEnd,
      }).catch((error: Error) => {
        throw new Error(`${rows}: damaged (${error.message}). Download it again.`);
      });
    },
  };
}

/** All rows in order, counted from 1. */
export async function* parquetRows(table: ParquetTable): AsyncGenerator<TableRow> {
  for (let g = 0; g + 1 < table.groups.length; g++)
    for (const [i, fields] of (await table.readGroup(g)).entries())
      yield { number: table.groups[g]! + i + 1, fields };
}

type Rows = Readonly<Record<string, unknown>>[];
/** Decoded row groups by file and number. */
export type GroupCache = Map<string, Promise<Rows>>;

export type ParquetDocuments = {
  readonly count: number;
  /** First document of every row group, and after the last the count: reading along them reads every byte once. */
  readonly blocks: readonly number[];
  get(index: number): Promise<Document>;
};

/**
 * The rows of a Parquet file as documents, read by row group when they are asked for. Only the text column and `id` and `register`
 * are read.
 *
 * @param source a file, memory, or a remote file that answers range reads
 * @param cache shared between the files of one corpus, so that many files hold no more memory than one
 * @throws when it is no whole Parquet file or has no such column; `get` throws for a row whose text is no text
 * @example
 * const documents = await openParquetDocuments(await openFile('a.parquet'), { name: 'a.parquet', column: 'text' });
 */
export async function openParquetDocuments(
  source: ByteSource,
  {
    name,
    column,
    cache = new Map(),
  }: { readonly name: string; readonly column: string; readonly cache?: GroupCache },
): Promise<ParquetDocuments> {
  const table = await openParquetTable(source, { name, column });
  const wanted = [column, ...KNOWN_COLUMNS.filter((known) => table.columns.includes(known))];
  const { groups } = table;
  const count = groups.at(-1)!;
  const file = name.replace(/^.*[\\/]/, '');

  function rowsOf(group: number): Promise<Rows> {
    const key = `${name} ${group}`;
    const rows = cache.get(key) ?? table.readGroup(group, wanted);
    // Moved to the end of the map: its first entry is the one used longest ago.
    cache.delete(key);
    cache.set(key, rows);
    for (const oldest of cache.keys()) {
      if (cache.size <= KEPT_GROUPS) break;
      cache.delete(oldest);
    }
    rows.catch(() => cache.delete(key));
    return rows;
  }

  return {
    count,
    blocks: groups,
    async get(index) {
      if (!(index >= 0 && index < count)) throw new RangeError(`${name}: document ${index} of ${count}`);
      const group = groups.findLastIndex((first) => first <= index);
      const row = (await rowsOf(group))[index - groups[group]!];
      try {
        return documentOf(row, column, `${file}:${index + 1}`, file);
      } catch (error) {
        if (error instanceof DocumentError) throw new Error(`${name} row ${index + 1}: ${error.message}`);
        throw error;
      }
    },
  };
}
