/**
 * Rows x [N,D] in a column of Parquet (https://parquet.apache.org/docs/file-format/), page by page: a file of one huge row group, which is
 * what most programs write, is read at random without decoding it whole.
 *
 *     column chunk of a row group:  [dictionary page] page page …      page: thrift header | repetition | definition | values
 *
 * Every row has D numbers (or T lists of D), so the count of values before a page says in which row it begins, and the repetition
 * levels must be  0 R…R 0 R…R …: that is checked, and a row of another length named. hyparquet reads the footer; pages are decoded
 * here, into typed arrays.
 */
import {
  type ColumnMetaData,
  type FileMetaData,
  parquetMetadataAsync,
  parquetSchema,
  type SchemaTree,
} from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import type { ByteSource } from '../platform/types.ts';
import { decodeValues, type FloatType, type PageHeader, readHybrid, readPageHeader } from './parquet-page.ts';
import { MAX_WIDTH, type RowReader } from './rows.ts';

/** Decoded pages that are kept: the next block often begins where the last one ended. */
const CACHE_BYTES = 64 * 2 ** 20;
/** Writers make pages of 1 MiB. */
const MAX_PAGE_BYTES = 256 * 2 ** 20;
/** A page header is some tens of bytes; statistics of floats add little. */
const HEADER_BYTES = 512;

/** A column of lists of floats. */
export type VectorColumn = {
  readonly name: string;
  readonly type: FloatType;
  /** 1 for a list of numbers, 2 for a list of lists. */
  readonly depth: number;
  /** Definition level of a number that is there. */
  readonly defined: number;
};

export type ParquetFile = {
  readonly source: ByteSource;
  readonly name: string;
  readonly metadata: FileMetaData;
  readonly columns: readonly VectorColumn[];
  /** Every column with its type, for messages. */
  readonly all: readonly string[];
};

/** The one leaf of a column, with the levels on the way; undefined when it has several. */
function leafOf(tree: SchemaTree): { leaf: SchemaTree; repeated: number; defined: number } | undefined {
  let repeated = 0;
  let defined = 0;
  for (let node = tree; ; node = node.children[0]!) {
    const { repetition_type: kind } = node.element;
    if (kind === 'REPEATED') repeated++;
    if (kind !== 'REQUIRED') defined++;
    if (node.children.length === 0) return { leaf: node, repeated, defined };
    if (node.children.length > 1) return undefined;
  }
}

/** Reads the footer. Throws when the file is no Parquet file or truncated. */
export async function readParquet(source: ByteSource, name: string): Promise<ParquetFile> {
  const file = {
    byteLength: source.byteLength,
    slice: async (from: number, to = source.byteLength) =>
      (await source.slice(from, to)).slice().buffer as ArrayBuffer,
  };
  const metadata = await parquetMetadataAsync(file).catch((error: Error) => {
    throw new Error(
      `${name}: not a whole Parquet file (${error.message}). Copy it again, or check its name.`,
    );
  });
  const columns: VectorColumn[] = [];
  const all: string[] = [];
  for (const tree of parquetSchema(metadata).children) {
    const found = leafOf(tree);
    const { type: physical, logical_type: logical } = found?.leaf.element ?? {};
    const type = logical?.type === 'FLOAT16' ? 'FLOAT16' : physical;
    all.push(
      `${tree.element.name} (${found ? `${'list of '.repeat(found.repeated)}${type?.toLowerCase()}` : 'struct'})`,
    );
    if (
      found &&
      (type === 'FLOAT' || type === 'DOUBLE' || type === 'FLOAT16') &&
      (found.repeated === 1 || found.repeated === 2)
    )
      columns.push({ name: tree.element.name, type, depth: found.repeated, defined: found.defined });
  }
  return { source, name, metadata, columns, all };
}

type Page = { readonly at: number; readonly header: PageHeader; readonly firstValue: number };
type Group = {
  readonly meta: ColumnMetaData;
  readonly rows: number;
  pages?: Promise<Page[]>;
  dictionary?: Promise<Float32Array>;
};

/** The rows of a column; nothing but one page is read before rows are asked for. */
export async function parquetRows(file: ParquetFile, column: VectorColumn): Promise<RowReader> {
  const { source, name, metadata } = file;
  const groups: Group[] = [];
  let perRow = 0;
  for (const [g, group] of metadata.row_groups.entries()) {
    const meta = group.columns.find(
      ({ meta_data: data }) => data?.path_in_schema[0] === column.name,
    )?.meta_data;
    if (!meta) throw new Error(`${name}, row group ${g}: column ${column.name} is missing`);
    const rows = Number(group.num_rows);
    if (rows === 0) continue;
    const values = Number(meta.num_values) / rows;
    perRow ||= values;
    if (values !== perRow)
      throw new Error(
        `${name}, row group ${g}, column ${column.name}: ${values} numbers per row on average, ${perRow} in the first row group. Every row must have the same length.`,
      );
    groups.push({ meta, rows });
  }
  if (!Number.isInteger(perRow) || perRow > MAX_WIDTH * MAX_WIDTH)
    throw new Error(
      `${name}, column ${column.name}: ${perRow} numbers per row on average. Every row must have the same length.`,
    );

  /** Reads the page headers of a group one after the other: a few bytes per page. */
  async function scan({ meta }: Group): Promise<Page[]> {
    let at = Number(meta.dictionary_page_offset ?? meta.data_page_offset);
    if (at > Number(meta.data_page_offset)) at = Number(meta.data_page_offset);
    const end = at + Number(meta.total_compressed_size);
    if (end > source.byteLength)
      throw new Error(
        `${name}: truncated: column ${column.name} ends at byte ${end} of ${source.byteLength}`,
      );
    const pages: Page[] = [];
    for (let firstValue = 0; firstValue < Number(meta.num_values); ) {
      if (at >= end)
        throw new Error(
          `${name}, column ${column.name}: damaged: pages hold ${firstValue} of ${meta.num_values} values`,
        );
      const header = readPageHeader(
        await source.slice(at, Math.min(end, at + HEADER_BYTES)),
        `${name}, page at byte ${at}`,
      );
      if (Math.max(header.size, header.packedSize, header.values * 2) > MAX_PAGE_BYTES)
        throw new Error(
          `${name}, page at byte ${at}: ${header.values} numbers in ${header.size} bytes; at most ${MAX_PAGE_BYTES} bytes`,
        );
      pages.push({ at: at + header.headerBytes, header, firstValue });
      if (header.kind === 'data') firstValue += header.values;
      at += header.headerBytes + header.packedSize;
    }
    return pages;
  }

  function unpack(bytes: Uint8Array, size: number, { codec }: ColumnMetaData, what: string): Uint8Array {
    if (codec === 'UNCOMPRESSED') return bytes;
    const decompress = compressors[codec];
    if (!decompress)
      throw new Error(`${what}: compression ${codec}; known are ${Object.keys(compressors).join(', ')}`);
    const out = decompress(bytes, size);
    if (out.length !== size) throw new Error(`${what}: unpacks to ${out.length} bytes instead of ${size}`);
    return out;
  }

  /** The numbers of one page, its rows checked; `firstRow` is the file's row in which its group begins. */
  async function decode(
    group: Group,
    { at, header, firstValue }: Page,
    firstRow: number,
  ): Promise<Float32Array> {
    const what = `${name}, page at byte ${at}`;
    const raw = await source.slice(at, at + header.packedSize);
    const { repetition, definition, values } = sections(raw, header, (bytes, size) =>
      unpack(bytes, size, group.meta, what),
    );
    const outer = readHybrid(repetition, column.depth === 1 ? 1 : 2, header.values);
    const defined = readHybrid(definition, 32 - Math.clz32(column.defined), header.values);
    for (let i = 0; i < header.values; i++) {
      const v = firstValue + i;
      const expected = v % perRow === 0 ? 0 : v % D === 0 ? 1 : column.depth;
      if (outer[i] === expected && defined[i] === column.defined) continue;
      // A row that goes on where the next should begin is itself too long.
      const row = firstRow + Math.floor(v / perRow) - (expected === 0 && outer[i] !== 0 ? 1 : 0);
      const found =
        defined[i] === column.defined
          ? `not ${lists > 1 ? `${lists} x ` : ''}${D} numbers`
          : 'null, or an empty list';
      throw new Error(
        `${name}, row ${row}, column ${column.name}: ${found}; all rows must be vectors of one length. Leave such rows out.`,
      );
    }
    const dictionary = await (group.dictionary ??= readDictionary(group));
    return decodeValues(values, header, column.type, dictionary, what);
  }

  async function readDictionary(group: Group): Promise<Float32Array> {
    const page = (await (group.pages ??= scan(group))).find(({ header }) => header.kind === 'dictionary');
    if (!page) return new Float32Array(0);
    const what = `${name}, dictionary at byte ${page.at}`;
    const bytes = unpack(
      await source.slice(page.at, page.at + page.header.packedSize),
      page.header.size,
      group.meta,
      what,
    );
    return decodeValues(bytes, { ...page.header, encoding: 'PLAIN' }, column.type, new Float32Array(0), what);
  }

  /** Length of the innermost lists: D. */
  async function width(): Promise<number> {
    if (column.depth === 1 || groups.length === 0) return perRow;
    const group = groups[0]!;
    const first = (await (group.pages ??= scan(group))).find(({ header }) => header.kind === 'data')!;
    const raw = await source.slice(first.at, first.at + first.header.packedSize);
    const { repetition } = sections(raw, first.header, (bytes, size) =>
      unpack(bytes, size, group.meta, name),
    );
    const levels = readHybrid(repetition, 2, first.header.values);
    const second = levels.findIndex((level, i) => i > 0 && level < 2);
    const D = second < 0 ? perRow : second;
    if (perRow % D !== 0)
      throw new Error(
        `${name}, column ${column.name}: lists of ${D} numbers do not divide the ${perRow} of a row. Every list must have the same length.`,
      );
    return D;
  }

  const D = await width();
  if (D > MAX_WIDTH)
    throw new Error(`${name}, column ${column.name}: rows of ${D} numbers; at most ${MAX_WIDTH}`);
  const lists = D === 0 ? 0 : perRow / D;
  const starts = [0];
  for (const { rows } of groups) starts.push(starts.at(-1)! + rows * lists);

  const cache = new Map<string, { values: Promise<Float32Array>; bytes: number }>();
  let cached = 0;
  function drop(key: string): void {
    cached -= cache.get(key)?.bytes ?? 0;
    cache.delete(key);
  }
  function page(g: number, p: number, pages: readonly Page[]): Promise<Float32Array> {
    const key = `${g}/${p}`;
    const values = cache.get(key)?.values ?? decode(groups[g]!, pages[p]!, starts[g]! / lists);
    drop(key);
    // A Map keeps the order of insertion: its first key is the one unused for longest.
    cache.set(key, { values, bytes: pages[p]!.header.values * 4 });
    cached += pages[p]!.header.values * 4;
    for (const oldest of cache.keys()) {
      if (cached <= CACHE_BYTES || oldest === key) break;
      drop(oldest);
    }
    values.catch(() => drop(key));
    return values;
  }

  return {
    rows: starts.at(-1)!,
    D,
    stored: `${column.type} ${column.depth === 1 ? '[N,D]' : '[N,T,D]'}`,
    async read(start, count, into) {
      for (let done = 0; done < count; ) {
        const g = starts.findLastIndex((first) => first <= start + done);
        const group = groups[g]!;
        const pages = await (group.pages ??= scan(group));
        const from = (start + done - starts[g]!) * D;
        const rows = Math.min(count - done, starts[g + 1]! - start - done);
        const to = from + rows * D;
        for (const [p, { header, firstValue }] of pages.entries()) {
          if (header.kind !== 'data' || firstValue + header.values <= from || firstValue >= to) continue;
          const values = await page(g, p, pages);
          const first = Math.max(from, firstValue);
          const part = values.subarray(
            first - firstValue,
            Math.min(to, firstValue + header.values) - firstValue,
          );
          into.set(part, done * D + first - from);
        }
        done += rows;
      }
    },
  };
}

/** Takes a data page apart: versions 1 and 2 differ in where the levels lie and in what is compressed. */
function sections(
  raw: Uint8Array,
  { levels, size, packed }: PageHeader,
  unpack: (bytes: Uint8Array, size: number) => Uint8Array,
): { repetition: Uint8Array; definition: Uint8Array; values: Uint8Array } {
  if (levels) {
    const { repetition, definition } = levels;
    const rest = raw.subarray(repetition + definition);
    return {
      repetition: raw.subarray(0, repetition),
      definition: raw.subarray(repetition, repetition + definition),
      values: packed ? unpack(rest, size - repetition - definition) : rest,
    };
  }
  const bytes = unpack(raw, size);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const first = view.getUint32(0, true);
  const second = view.getUint32(4 + first, true);
  return {
    repetition: bytes.subarray(4, 4 + first),
    definition: bytes.subarray(8 + first, 8 + first + second),
    values: bytes.subarray(8 + first + second),
  };
}
