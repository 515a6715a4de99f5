/**
 * Parquet, CSV and TSV -> rows as plain objects, one after the other, in bounded memory: Parquet by row group, CSV by record.
 *
 * Values are made fit for JSON: 64-bit integers become numbers, times become ISO text, bytes are left out.
 */
import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { createGunzip } from 'node:zlib';
import { CsvError, parse } from 'csv-parse';
import { type AsyncBuffer, parquetMetadataAsync, parquetReadObjects, parquetSchema } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { nearestNames } from '../../shared/nearest.ts';

/** A row group is decoded whole; writers keep them at some hundred MB at most. */
const MAX_ROW_GROUP_BYTES = 2 * 2 ** 30;
/** One record beyond this is a quote that was never closed. */
const MAX_RECORD_CHARACTERS = 64 * 2 ** 20;

export type TableRow = { readonly number: number; readonly fields: Readonly<Record<string, unknown>> };

function noColumn(path: string, column: string, found: readonly string[]): Error {
  const near = nearestNames(column, found);
  return new Error(
    `${path}: no column "${column}". ${near.length > 0 ? `Did you mean ${near.join(' or ')}? ` : ''}It has ${found.slice(0, 12).join(', ')}. Name the right one with --text-field.`,
  );
}

/** Rows of a Parquet file, counted from 1. Throws when it is damaged, or has no text column of that name. */
export async function* parquetRows(
  file: AsyncBuffer,
  path: string,
  textField: string,
): AsyncGenerator<TableRow> {
  const metadata = await parquetMetadataAsync(file).catch((error: Error) => {
    throw new Error(
      `${path}: not a whole Parquet file (${error.message}). Download it again, or check its name.`,
    );
  });
  const columns = parquetSchema(metadata).children.map(({ element }) => element.name);
  if (!columns.includes(textField)) throw noColumn(path, textField, columns);
  let start = 0;
  for (const [g, group] of metadata.row_groups.entries()) {
    const rows = Number(group.num_rows);
    if (Number(group.total_byte_size) > MAX_ROW_GROUP_BYTES)
      throw new Error(
        `${path}, row group ${g}: ${Number(group.total_byte_size)} bytes in one row group, which is read whole; at most ${MAX_ROW_GROUP_BYTES}. Write it with smaller row groups.`,
      );
    const objects = await parquetReadObjects({
      file,
      metadata,
      compressors,
      rowStart: start,
      rowEnd: start + rows,
    }).catch((error: Error) => {
      throw new Error(
        `${path}, rows ${start + 1} to ${start + rows}: damaged (${error.message}). Download it again.`,
      );
    });
    for (const [i, fields] of objects.entries()) yield { number: start + i + 1, fields };
    start += rows;
  }
}

/** A local file as hyparquet reads it. */
export async function fileBuffer(path: string): Promise<AsyncBuffer & { close(): Promise<void> }> {
  const handle = await open(path, 'r');
  const byteLength = (await stat(path)).size;
  return {
    byteLength,
    async slice(start, end = byteLength) {
      const buffer = new Uint8Array(Math.max(0, Math.min(end, byteLength) - start));
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, start);
      if (bytesRead < buffer.length) throw new Error(`it ends at byte ${start + bytesRead}`);
      return buffer.buffer;
    },
    close: () => handle.close(),
  };
}

/** Records of a CSV or TSV file with a header line, counted from 1 after it. Quoted fields may hold line ends. */
export async function* csvRows(
  path: string,
  { delimiter, gzip, textField }: { delimiter: string; gzip: boolean; textField: string },
): AsyncGenerator<TableRow> {
  const parser = parse({ columns: true, bom: true, delimiter, max_record_size: MAX_RECORD_CHARACTERS });
  const bytes = createReadStream(path);
  const source = gzip
    ? bytes.on('error', (error: Error) => parser.destroy(error)).pipe(createGunzip())
    : bytes;
  source.on('error', (error: Error) => parser.destroy(error));
  source.pipe(parser);
  let number = 0;
  try {
    for await (const fields of parser as AsyncIterable<Record<string, string>>) {
      number++;
      if (number === 1 && !(textField in fields)) throw noColumn(path, textField, Object.keys(fields));
      yield { number, fields };
    }
  } catch (error) {
    if (error instanceof CsvError)
      throw new Error(
        `${path} row ${number + 1}: ${error.message}. Quote fields that hold the separator, a quote or a line end.`,
      );
    if ((error as NodeJS.ErrnoException).code?.startsWith('Z_'))
      throw new Error(`${path}: damaged or truncated gzip (${(error as Error).message}). Download it again.`);
    throw error;
  } finally {
    bytes.destroy();
  }
}

/** A row as one line of JSONL. */
export function rowAsJson(fields: TableRow['fields']): string {
  return JSON.stringify(fields, (_key, value: unknown) => {
    if (typeof value === 'bigint') return Number(value);
    return ArrayBuffer.isView(value) ? undefined : value;
  });
}
