/**
 * Row groups of the feature tables. The footer has an entry per column and row group and is read whole before anything else, so groups
 * are large; pages are small (writer.ts), so that a query decodes little more than the latent it is about.
 */
import { joinParts } from './join.ts';
import type { Rows, TableWriter } from './writer.ts';

/** Rows of a row group. */
export const ROW_GROUP = { latents: 1024, activations: 65_536, examples: 16_384, groups: 16_384 } as const;

export type RowBuffer = {
  /** Rows so far, those that wait among them. */
  readonly next: number;
  add(row: Readonly<Record<string, unknown>>): Promise<void>;
  /** What is left. */
  flush(): Promise<void>;
};

/** Gathers rows to groups of `size`. */
export function rowBuffer(writer: TableWriter, size: number): RowBuffer {
  let rows: Readonly<Record<string, unknown>>[] = [];
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
    async add(row) {
      rows.push(row);
      if (rows.length >= size) await flush();
    },
    flush,
  };
}

export type ColumnBuffer = {
  readonly next: number;
  add(columns: Rows): Promise<void>;
  flush(): Promise<void>;
};

/** Gathers stretches of columns to groups of at least `size` rows. */
export function columnBuffer(writer: TableWriter, size: number): ColumnBuffer {
  let parts: Rows[] = [];
  let waiting = 0;
  const flush = async (): Promise<void> => {
    if (waiting === 0) return;
    const names = Object.keys(parts[0]!);
    const full = parts;
    const rows = waiting;
    [parts, waiting] = [[], 0];
    await writer.write(
      Object.fromEntries(
        names.map((name) => [
          name,
          joinParts(
            full.map((part) => part[name]!),
            rows,
          ),
        ]),
      ),
    );
  };
  return {
    get next() {
      return writer.rows + waiting;
    },
    async add(columns) {
      const { length } = Object.values(columns)[0]!;
      if (length === 0) return;
      parts.push(columns);
      waiting += length;
      if (waiting >= size) await flush();
    },
    flush,
  };
}
