/**
 * Parquet tables, written row group by row group under a temporary name and renamed when they are whole. Plain encodings: nearly all
 * columns are numbers that hardly repeat.
 */
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type ColumnSource, fileWriter, ParquetWriter } from 'hyparquet-writer';
import type { Column } from '../../shared/feature-tables.ts';
import { explainFull, syncFolder } from '../atomic.ts';

/** Column -> one value per row. Integers come as Int32Array or numbers, lists as arrays of those. */
export type Rows = Readonly<Record<string, ArrayLike<unknown>>>;

export type TableWriter = {
  readonly rows: number;
  /** One row group. Columns have the same length. */
  write(rows: Rows): Promise<void>;
  /** The file appears. */
  finish(): Promise<void>;
  /** Removes what there is of it. */
  abort(): Promise<void>;
};

/** Bytes of a page before compression: the least that a query decodes of a column. */
const PAGE = 8192;

type SchemaElement = ParquetWriter['schema'][number];

const BASIC = { int32: 'INT32', float: 'FLOAT', double: 'DOUBLE', string: 'BYTE_ARRAY' } as const;

function elementsOf({ name, type, nullable }: Column): SchemaElement[] {
  const list = type.endsWith('[]');
  const basic = type.replace('[]', '') as keyof typeof BASIC;
  const leaf = {
    type: BASIC[basic],
    ...(basic === 'string' ? { converted_type: 'UTF8' as const } : {}),
  };
  if (!list) return [{ name, ...leaf, repetition_type: nullable ? 'OPTIONAL' : 'REQUIRED' }];
  return [
    { name, repetition_type: 'REQUIRED', num_children: 1, converted_type: 'LIST' },
    { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
    { name: 'element', ...leaf, repetition_type: 'REQUIRED' },
  ];
}

/** Ascending numbers as differences, texts and numbers that repeat as dictionaries, the rest as it is. */
const encodingOf = ({ name, type }: Column): Pick<ColumnSource, 'encoding'> => {
  if (type.startsWith('string') || name === 'document') return {};
  if (name === 'latent' || name === 'at') return { encoding: 'DELTA_BINARY_PACKED' };
  return { encoding: name === 'value' ? 'BYTE_STREAM_SPLIT' : 'PLAIN' };
};

/** Begins a table. Nothing has its name before `finish`. */
export function createTableWriter(path: string, columns: readonly Column[]): TableWriter {
  const temporary = `${path}.tmp-${process.pid}-0`;
  const writer = new ParquetWriter({
    writer: fileWriter(temporary),
    codec: 'SNAPPY',
    createdBy: 'saekit',
    schema: [{ name: 'root', num_children: columns.length }, ...columns.flatMap(elementsOf)],
  });
  let rows = 0;
  const intact = `${path} was not changed.`;
  const guard = async (work: () => void | Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      await rm(temporary, { force: true });
      throw await explainFull(error, { path, what: 'a feature table', needed: 0, intact });
    }
  };
  return {
    get rows() {
      return rows;
    },
    write: (data) =>
      guard(async () => {
        const length = data[columns[0]!.name]!.length;
        if (length === 0) return;
        await writer.write({
          columnData: columns.map((column) => ({
            name: column.name,
            data: data[column.name] as ColumnSource['data'],
            ...encodingOf(column),
          })),
          rowGroupSize: length,
          pageSize: PAGE,
        });
        rows += length;
      }),
    finish: () =>
      guard(async () => {
        await writer.finish();
        const handle = await open(temporary, 'r+');
        await handle.sync().finally(() => handle.close());
        await rename(temporary, path);
        await syncFolder(dirname(path));
      }),
    abort: () => rm(temporary, { force: true }),
  };
}
