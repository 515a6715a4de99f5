/** Label columns of documents: their register and the fields that have few values. */
import type { DocumentSet } from '../../data/index.ts';
import type { LabelColumn } from '../../explain/index.ts';
import { UsageError } from '../../shared/errors.ts';
import { TABLES } from '../../shared/feature-tables.ts';

const MOST_VALUES = 64;

/** A field of the documents; `column` is what it is called in the tables. */
export type FieldColumn = LabelColumn & { readonly field: string };

export type DocumentLabels = {
  readonly ids: readonly string[];
  /** Of every document's text, in UTF-8. */
  readonly bytes: Float64Array;
  /** The fields that are compared, as columns of the tables. */
  readonly columns: readonly FieldColumn[];
  /** These fields. @throws UsageError for one that no document has */
  columnsOf(fields: readonly string[]): LabelColumn[];
};

/**
 * Fields -> columns of the documents table, one each. A field called like a column that is there (`tokens`) is `tokens_label`; SQL does not
 * tell small letters from capitals, so neither is told here.
 */
export function columnNames(fields: readonly string[]): ReadonlyMap<string, string> {
  const taken = new Set<string>(TABLES.documents.map(({ name }) => name));
  const names = new Map<string, string>();
  // Those that keep their name have it before others look for one.
  const free = (name: string): boolean => !taken.has(name.toLowerCase());
  for (const field of [...fields.filter(free), ...fields.filter((field) => !free(field))]) {
    let name = field;
    for (let n = 1; !free(name); n++) name = `${field}_label${n === 1 ? '' : n}`;
    taken.add(name.toLowerCase());
    names.set(field, name);
  }
  return names;
}

/**
 * Reads every document once.
 *
 * @param wanted these fields, however many values they have; by default all with 2 to 64 values
 * @throws UsageError for a field that no document has
 */
export async function documentLabels(
  documents: DocumentSet,
  wanted: readonly string[] | undefined,
  signal?: AbortSignal,
): Promise<DocumentLabels> {
  const ids: string[] = new Array(documents.count).fill('');
  const bytes = new Float64Array(documents.count);
  const fields = new Map<string, Map<number, string>>();
  for (let d = 0; d < documents.count; d++) {
    signal?.throwIfAborted();
    const { id, register, meta, text } = await documents.get(d);
    ids[d] = id;
    bytes[d] = Buffer.byteLength(text);
    for (const [name, value] of Object.entries({
      ...meta,
      ...(register === undefined ? {} : { register }),
    })) {
      if (!['string', 'number', 'boolean'].includes(typeof value) || name === 'file') continue;
      const values = fields.get(name) ?? new Map<number, string>();
      values.set(d, String(value));
      fields.set(name, values);
    }
  }
  const names = [...fields.keys()].sort();
  const columnOf = (column: string): LabelColumn => {
    const byDocument = fields.get(column)!;
    const values = [...new Set(byDocument.values())].sort();
    const place = new Map(values.map((value, i) => [value, i]));
    const ofDocument = Int32Array.from(
      { length: documents.count },
      (_, d) => place.get(byDocument.get(d) ?? '') ?? -1,
    );
    return { column, values, ofDocument };
  };
  const columnsOf = (chosen: readonly string[]): LabelColumn[] => {
    const missing = chosen.find((name) => !fields.has(name));
    if (missing !== undefined)
      throw new UsageError(
        `No document has a field ${JSON.stringify(missing)}; they have ${names.join(', ') || 'none'}.`,
      );
    return names.filter((name) => chosen.includes(name)).map(columnOf);
  };
  const few = ({ values }: LabelColumn): boolean => values.length >= 2 && values.length <= MOST_VALUES;
  const compared = wanted ? columnsOf(wanted) : names.map(columnOf).filter(few);
  const columnNamed = columnNames(compared.map(({ column }) => column));
  const columns = compared.map((one) => ({
    ...one,
    field: one.column,
    column: columnNamed.get(one.column)!,
  }));
  return { ids, bytes, columns, columnsOf };
}
