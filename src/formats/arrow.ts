/**
 * Arrow IPC (https://arrow.apache.org/docs/format/Columnar.html), streams and files, without decoding: every message says how long its body
 * is, every record batch says where its buffers lie, and the values of a column of equally long lists are rows one after the other.
 *
 *     [ARROW1 00 00] | FFFFFFFF, i32 n, n bytes of metadata, body | … | FFFFFFFF 00000000 | [footer]
 *     List<List<float>>:  node and buffers of the outer list, the inner list, the values: rows = values in groups of D
 *
 * The Hugging Face `datasets` library, and with it SAELens's cache, writes such streams: a column per hook, [T,D] floats per row.
 */
import type { DataType, Field, Schema } from 'apache-arrow';
import type { ByteSource } from '../platform/types.ts';
import { type FloatDtype, type IntegerDtype, MAX_WIDTH } from './rows.ts';
import { elementsOf } from './safetensors.ts';

const MAX_METADATA_BYTES = 16 * 2 ** 20;

/** A column of numbers, or of lists (of lists) of numbers. */
export type ArrowColumn = {
  readonly name: string;
  readonly dtype: FloatDtype | IntegerDtype;
  /** 1 for a list of numbers, 2 for a list of lists; 0 for plain numbers. */
  readonly depth: number;
  /** Position of its first node and buffer in every record batch. */
  readonly node: number;
  readonly buffer: number;
  /** Bytes of one offset of each list, outer first; 0 when the list has a fixed size. */
  readonly offsets: readonly number[];
};

/** A record batch: where its body begins and what lies in it. */
export type ArrowBatch = {
  readonly body: number;
  readonly rows: number;
  readonly nodes: readonly { length: number; nullCount: number }[];
  readonly buffers: readonly { offset: number; length: number }[];
};

export type ArrowFile = {
  readonly source: ByteSource;
  readonly name: string;
  readonly columns: readonly ArrowColumn[];
  /** Names of columns that hold something else. */
  readonly others: readonly string[];
  readonly batches: readonly ArrowBatch[];
};

/** Rows of one column in one batch: `perList` lengths of the lists, outer first. */
export type ArrowRegion = {
  readonly start: number;
  readonly values: number;
  readonly perList: readonly number[];
};

const FLOATS = ['F16', 'F32', 'F64'] as const;

/** Walks the schema as the format lays out nodes and buffers. */
function layOut(
  schema: Schema,
  arrow: typeof import('apache-arrow'),
): { columns: ArrowColumn[]; others: string[] } {
  const { DataType: T } = arrow;
  let node = 0;
  let buffer = 0;
  const pass = ({ type }: Field): void => {
    node++;
    buffer += T.isNull(type)
      ? 0
      : T.isStruct(type) || T.isFixedSizeList(type)
        ? 1
        : T.isUtf8(type) || T.isBinary(type) || T.isLargeUtf8(type) || T.isLargeBinary(type)
          ? 3
          : 2;
    if (T.isUnion(type)) throw new Error('union columns');
    if (!T.isDictionary(type))
      for (const child of (type as DataType & { children?: Field[] }).children ?? []) pass(child);
  };
  const columns: ArrowColumn[] = [];
  const others: string[] = [];
  for (const field of schema.fields) {
    const first = { node, buffer };
    const offsets: number[] = [];
    let { type } = field;
    while (T.isList(type) || T.isLargeList(type) || T.isFixedSizeList(type)) {
      offsets.push(T.isFixedSizeList(type) ? 0 : T.isLargeList(type) ? 8 : 4);
      type = (type as DataType & { children: Field[] }).children[0]!.type;
    }
    const dtype = T.isFloat(type)
      ? FLOATS[type.precision]
      : T.isInt(type)
        ? (`${type.isSigned ? 'I' : 'U'}${type.bitWidth}` as IntegerDtype)
        : undefined;
    if (dtype) columns.push({ name: field.name, dtype, depth: offsets.length, offsets, ...first });
    else others.push(field.name);
    pass(field);
  }
  return { columns, others };
}

/**
 * Finds the columns and record batches of a file; reads metadata only.
 *
 * @throws when it is no Arrow file, truncated, or compressed
 */
export async function readArrow(source: ByteSource, name: string): Promise<ArrowFile> {
  // Loaded when the first such file is met: it is large.
  const arrow = await import('apache-arrow');
  const magic = await source.slice(0, Math.min(6, source.byteLength));
  let at = String.fromCharCode(...magic) === 'ARROW1' ? 8 : 0;
  let laidOut: ReturnType<typeof layOut> | undefined;
  let ended = false;
  const batches: ArrowBatch[] = [];
  const truncated = (end: number): Error =>
    new Error(
      `${name}: truncated: message ${batches.length} ends at byte ${end}, the file has ${source.byteLength}. Copy it again.`,
    );
  while (at < source.byteLength) {
    if (at + 8 > source.byteLength) throw truncated(at + 8);
    const prefix = new DataView((await source.slice(at, at + 8)).slice().buffer);
    if (prefix.getUint32(0, true) !== 0xffffffff)
      throw new Error(
        `${name}: no Arrow message at byte ${at}. It is not an Arrow IPC file of format version 1, or damaged.`,
      );
    const length = prefix.getInt32(4, true);
    if (length === 0) {
      ended = true;
      break;
    }
    if (length < 0 || length > MAX_METADATA_BYTES)
      throw new Error(
        `${name}: the metadata at byte ${at} is said to be ${length} bytes long; at most ${MAX_METADATA_BYTES}`,
      );
    const body = at + 8 + length;
    if (body > source.byteLength) throw truncated(body);
    const bytes = await source.slice(at + 8, body);
    let bodyLength: number;
    try {
      const message = arrow.Message.decode(bytes);
      bodyLength = message.bodyLength;
      if (message.isSchema()) laidOut = layOut(message.header() as unknown as Schema, arrow);
      else if (message.isRecordBatch())
        batches.push(batchOf(message.header() as unknown as RecordBatchHeader, body));
    } catch (error) {
      throw new Error(`${name}: the message at byte ${at} cannot be read (${(error as Error).message})`);
    }
    if (!Number.isSafeInteger(bodyLength) || bodyLength < 0 || body + bodyLength > source.byteLength)
      throw truncated(body + bodyLength);
    at = body + bodyLength;
  }
  if (!laidOut) throw new Error(`${name}: no schema: not an Arrow IPC file, or empty`);
  // Optional in a stream, but every program that closes its file writes it: without, rows may be missing.
  if (!ended)
    throw new Error(
      `${name}: no end mark after record batch ${batches.length - 1}: truncated, or its writer was stopped. Copy or write it again.`,
    );
  return { source, name, batches, ...laidOut };
}

/** What a decoded record batch message has; the package's types give the class of its tables instead. */
type RecordBatchHeader = {
  readonly length: number;
  readonly compression: unknown;
  readonly nodes: readonly { length: number | bigint; nullCount: number | bigint }[];
  readonly buffers: readonly { offset: number | bigint; length: number | bigint }[];
};

function batchOf({ length, compression, nodes, buffers }: RecordBatchHeader, body: number): ArrowBatch {
  if (compression) throw new Error('its buffers are compressed; write it again with compression=None');
  if (nodes.some((node) => node.length < 0)) throw new Error('a column of negative length');
  return {
    body,
    rows: Number(length),
    nodes: nodes.map((node) => ({ length: Number(node.length), nullCount: Number(node.nullCount) })),
    buffers: buffers.map(({ offset, length: bytes }) => ({ offset: Number(offset), length: Number(bytes) })),
  };
}

/**
 * Where the values of a column lie in record batch `b`. All lists of one level must have one length: the counts are checked here, every
 * single list by `checkLists`.
 */
export function arrowRegion({ name, batches }: ArrowFile, column: ArrowColumn, b: number): ArrowRegion {
  const batch = batches[b]!;
  const what = `${name}, record batch ${b}, column ${column.name}`;
  const nodes = batch.nodes.slice(column.node, column.node + column.depth + 1);
  const values =
    batch.buffers[column.buffer + column.offsets.reduce((sum, width) => sum + (width ? 2 : 1), 0) + 1];
  if (nodes.length !== column.depth + 1 || !values) throw new Error(`${what}: damaged: a buffer is missing`);
  if (nodes.some(({ nullCount }) => nullCount > 0))
    throw new Error(`${what}: holds null; every row must be a vector of numbers`);
  const perList: number[] = [];
  for (let level = 0; level < column.depth; level++) {
    const size = nodes[level]!.length === 0 ? 0 : nodes[level + 1]!.length / nodes[level]!.length;
    if (!Number.isInteger(size) || size > MAX_WIDTH)
      throw new Error(
        `${what}: ${nodes[level]!.length} lists of ${nodes[level + 1]!.length} numbers; they must all have one length, at most ${MAX_WIDTH}`,
      );
    perList.push(size);
  }
  const bits = Number(column.dtype.match(/\d+/)![0]);
  if (nodes.at(-1)!.length * (bits / 8) > values.length)
    throw new Error(`${what}: damaged: ${values.length} bytes for ${nodes.at(-1)!.length} numbers`);
  return { start: batch.body + values.offset, values: nodes.at(-1)!.length, perList };
}

/** Checks that every list of a column in record batch `b` has the length of the others; the first that has not is named. */
export async function checkLists(file: ArrowFile, column: ArrowColumn, b: number): Promise<void> {
  const { perList } = arrowRegion(file, column, b);
  const batch = file.batches[b]!;
  let buffer = column.buffer;
  for (const [level, width] of column.offsets.entries()) {
    if (width) {
      const start = batch.body + batch.buffers[buffer + 1]!.offset;
      const count = batch.nodes[column.node + level]!.length + 1;
      if (count * width > batch.buffers[buffer + 1]!.length)
        throw new Error(`${file.name}, record batch ${b}: damaged: too few list offsets`);
      const offsets = elementsOf(
        await file.source.slice(start, start + count * width),
        width === 8 ? 'I64' : 'I32',
      );
      for (let i = 0; i < count; i++)
        if (Number(offsets[i]!) !== i * perList[level]!)
          throw new Error(
            `${file.name}, record batch ${b}, column ${column.name}: list ${i - 1} has ${Number(offsets[i]!) - Number(offsets[i - 1] ?? 0)} elements, expected ${perList[level]} as in the others`,
          );
    }
    buffer += width ? 2 : 1;
  }
}
