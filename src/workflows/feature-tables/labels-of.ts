/** Label columns of documents: their register and the fields that have few values. */
import type { DocumentSet } from '../../data/index.ts';
import type { LabelColumn } from '../../explain/index.ts';
import { UsageError } from '../../shared/errors.ts';

const MOST_VALUES = 64;

export type DocumentLabels = {
  readonly ids: readonly string[];
  /** Of every document's text, in UTF-8. */
  readonly bytes: Float64Array;
  /** The fields that are compared. */
  readonly columns: readonly LabelColumn[];
  /** These fields. @throws UsageError for one that no document has */
  columnsOf(fields: readonly string[]): LabelColumn[];
};

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
  return { ids, bytes, columns: wanted ? columnsOf(wanted) : names.map(columnOf).filter(few), columnsOf };
}
