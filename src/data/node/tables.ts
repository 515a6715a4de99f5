/**
 * CSV and TSV -> rows as plain objects, one after the other, in bounded memory; rows of any table -> lines of JSONL.
 *
 * Values are made fit for JSON: 64-bit integers become numbers, times become ISO text, bytes are left out.
 */
import { createReadStream } from 'node:fs';
import { createGunzip } from 'node:zlib';
import { CsvError, parse } from 'csv-parse';
import { noColumn, type TableRow } from '../parquet.ts';

/** One record beyond this is a quote that was never closed. */
const MAX_RECORD_CHARACTERS = 64 * 2 ** 20;

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
