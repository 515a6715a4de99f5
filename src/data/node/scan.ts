/**
 * One pass over the data files before anything else: where each document lies, what its text hashes to, and the sha256
 * of each file for the record. Every error of the data shows up here, not hours into a run. Memory: 24 bytes per
 * document and one buffer. What cannot be read from its middle is unpacked into a temporary folder: gzip files as they are, the rows of
 * Parquet and CSV files as lines of JSONL.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { pipeline, Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { openFile } from '../../platform/node.ts';
import { parseDocument } from '../documents.ts';
import { DocumentError } from '../messages.ts';
import { openParquetTable, parquetRows, type TableRow } from '../parquet.ts';
import { textSections } from '../sections.ts';
import type { DataFile } from './paths.ts';
import { csvRows, rowAsJson } from './tables.ts';

/** A single document beyond this is a mistake (a whole file on one line) and would not fit beside a model. */
export const MAX_DOCUMENT_BYTES = 64 * 2 ** 20;
/** Rows of a table are written out together. */
const SPOOL_BYTES = 2 ** 20;
const NEWLINE = 10;

/** A file after the scan; `path` is what the person named, `readPath` what is read (unpacked where it was gzip). */
export type ScannedFile = DataFile & {
  readonly name: string;
  readonly readPath: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly documents: number;
};

/** Where a document lies: its bytes in the file and its number there (line or section, from 1). */
export type DocumentPlace = {
  readonly file: number;
  readonly start: number;
  readonly bytes: number;
  readonly number: number;
};

/** Places in typed arrays that grow. */
export function createPlaces(): {
  readonly count: number;
  push(place: DocumentPlace, hash: number): void;
  at(index: number): DocumentPlace;
  hashAt(index: number): number;
} {
  let capacity = 1024;
  let count = 0;
  let starts = new Float64Array(capacity);
  let numbers = new Uint32Array(capacity * 4);
  return {
    get count() {
      return count;
    },
    push({ file, start, bytes, number }, hash) {
      if (count === capacity) {
        capacity *= 2;
        const grownStarts = new Float64Array(capacity);
        grownStarts.set(starts);
        starts = grownStarts;
        const grownNumbers = new Uint32Array(capacity * 4);
        grownNumbers.set(numbers);
        numbers = grownNumbers;
      }
      starts[count] = start;
      numbers.set([file, bytes, number, hash], count * 4);
      count++;
    },
    at: (i) => ({
      file: numbers[i * 4]!,
      start: starts[i]!,
      bytes: numbers[i * 4 + 1]!,
      number: numbers[i * 4 + 2]!,
    }),
    hashAt: (i) => numbers[i * 4 + 3]!,
  };
}
export type Places = ReturnType<typeof createPlaces>;

/** First 32 bits of the sha256 of the text as UTF-8: decides the held-out split. */
export function textHash(text: string): number {
  return createHash('sha256').update(text, 'utf8').digest().readUInt32BE(0);
}

/** Decodes UTF-8, or says where it is not. */
export function decodeUtf8(bytes: Uint8Array, where: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    const zip = bytes[0] === 0x1f && bytes[1] === 0x8b ? ' It begins like a gzip file: name it .gz.' : '';
    throw new Error(`${where}: not UTF-8 text.${zip} Convert it, for example with iconv, and run again.`);
  }
}

async function* jsonLines(
  chunks: AsyncIterable<Uint8Array>,
  path: string,
): AsyncGenerator<{ bytes: Uint8Array; start: number; line: number }> {
  let parts: Uint8Array[] = [];
  let partsBytes = 0;
  let start = 0;
  let line = 1;
  const take = (last: Uint8Array): Uint8Array => {
    if (parts.length === 0) return last;
    const joined = Buffer.concat([...parts, last]);
    parts = [];
    partsBytes = 0;
    return joined;
  };
  for await (const chunk of chunks) {
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, from)) {
      const bytes = take(chunk.subarray(from, end));
      yield { bytes, start, line };
      start += bytes.length + 1;
      line++;
      from = end + 1;
    }
    if (from < chunk.length) {
      // A copy: the stream may use its chunk again.
      parts.push(chunk.slice(from));
      partsBytes += chunk.length - from;
      if (partsBytes > MAX_DOCUMENT_BYTES)
        throw new Error(
          `${path} line ${line}: longer than ${MAX_DOCUMENT_BYTES} bytes. JSONL has one document per line; is this one JSON list?`,
        );
    }
  }
  if (parts.length > 0) yield { bytes: take(new Uint8Array(0)), start, line };
}

const bytesOf = (path: string): AsyncIterable<Uint8Array> =>
  createReadStream(path, { highWaterMark: 1 << 20 });

const isBlank = (bytes: Uint8Array): boolean =>
  bytes.every((byte) => byte === 32 || (byte >= 9 && byte <= 13));

type ScanOptions = {
  readonly textField: string;
  /** Folder for what is unpacked. */
  readonly spool: string;
  readonly onBytes: (bytes: number) => void;
  readonly signal?: AbortSignal | undefined;
  /** Called with every document's text, in the order of their places. */
  readonly onText?: (text: string) => void;
};

/** Reads a file once: hash, unpacking, documents. */
export async function scanFile(
  file: DataFile,
  fileIndex: number,
  places: Places,
  options: ScanOptions,
): Promise<ScannedFile> {
  const { path, kind, gzip } = file;
  if (kind === 'parquet' || kind === 'csv' || kind === 'tsv')
    return await scanTable(file, fileIndex, places, options);
  const { textField, spool, onBytes, onText = () => {} } = options;
  const name = basename(path);
  const bytes = (await stat(path)).size;
  const sha256 = createHash('sha256');
  const readPath = gzip ? join(spool, `${fileIndex}-${name.slice(0, -3)}`) : path;
  const before = places.count;

  async function* raw(): AsyncGenerator<Uint8Array> {
    for await (const chunk of bytesOf(path)) {
      sha256.update(chunk);
      onBytes(chunk.length);
      yield chunk;
    }
  }
  async function* chunks(): AsyncGenerator<Uint8Array> {
    if (!gzip) {
      yield* raw();
      return;
    }
    // The iterator below reports the pipeline's error; the callback only keeps it from being thrown twice.
    const unpacked = pipeline(Readable.from(raw()), createGunzip(), () => {});
    let out: FileHandle | undefined;
    try {
      out = await open(readPath, 'w');
      for await (const chunk of unpacked) {
        await out.write(chunk);
        yield chunk;
      }
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === 'ENOSPC') throw noRoom(spool, path);
      if (code?.startsWith('Z_'))
        throw new Error(`${path}: damaged or truncated gzip (${message}). Download it again.`);
      throw error;
    } finally {
      await out?.close();
    }
  }

  if (kind === 'text') {
    let number = 1;
    for await (const section of textSections(chunks())) {
      const text = decodeUtf8(section.bytes, `${path}, at byte ${section.start}`);
      places.push(
        { file: fileIndex, start: section.start, bytes: section.bytes.length, number },
        textHash(text),
      );
      onText(text);
      number++;
    }
  } else {
    for await (const { bytes: lineBytes, start, line } of jsonLines(chunks(), path)) {
      if (isBlank(lineBytes)) continue;
      const json = decodeUtf8(lineBytes, `${path} line ${line}`);
      try {
        const { text } = parseDocument(json, textField, '', name);
        places.push({ file: fileIndex, start, bytes: lineBytes.length, number: line }, textHash(text));
        onText(text);
      } catch (error) {
        if (error instanceof DocumentError) throw new Error(`${path} line ${line}: ${error.message}`);
        throw error;
      }
    }
  }
  return { ...file, name, readPath, bytes, sha256: sha256.digest('hex'), documents: places.count - before };
}

function noRoom(spool: string, path: string): Error {
  return new Error(
    `No space left in ${spool} while unpacking ${path}. Free space there, set TMPDIR to a larger disk, or give the data as JSONL.`,
  );
}

/** Rows of a table become lines of JSONL in the spool. */
async function scanTable(
  file: DataFile,
  fileIndex: number,
  places: Places,
  options: ScanOptions,
): Promise<ScannedFile> {
  const { path, kind, gzip } = file;
  const { textField, spool, onBytes } = options;
  const name = basename(path);
  const readPath = join(spool, `${fileIndex}-${name}.jsonl`);
  const before = places.count;
  const scanned = (bytes: number, sha256: string): ScannedFile => ({
    ...file,
    name,
    readPath,
    bytes,
    sha256,
    documents: places.count - before,
  });
  if (kind !== 'parquet') {
    const { bytes, sha256 } = await hashFile(path, onBytes);
    const rows = csvRows(path, { delimiter: kind === 'tsv' ? '\t' : ',', gzip, textField });
    await spoolRows(rows, { file, fileIndex, places, readPath, options });
    return scanned(bytes, sha256);
  }
  const source = file.source ?? (await openFile(path));
  try {
    const { sha256 } = file.source ? { sha256: await parquetHash(source) } : await hashFile(path, onBytes);
    const table = await openParquetTable(source, { name: path, column: textField });
    await spoolRows(parquetRows(table), { file, fileIndex, places, readPath, options });
    if (file.source) onBytes(source.byteLength);
    return scanned(source.byteLength, sha256);
  } finally {
    await source.close?.();
  }
}

async function hashFile(
  path: string,
  onBytes: (bytes: number) => void,
): Promise<{ bytes: number; sha256: string }> {
  const sha256 = createHash('sha256');
  let bytes = 0;
  for await (const chunk of bytesOf(path)) {
    sha256.update(chunk);
    bytes += chunk.length;
    onBytes(chunk.length);
  }
  return { bytes, sha256: sha256.digest('hex') };
}

/** Identifies Parquet that is not read whole: its sha256 where that is known, else that of its footer, which has the place and size of all pages. */
export async function parquetHash(source: NonNullable<DataFile['source']>): Promise<string> {
  if (source.sha256 !== undefined) return source.sha256;
  const { byteLength } = source;
  const tail = await source.slice(Math.max(0, byteLength - 8), byteLength);
  const length = tail.length < 8 ? 0 : new DataView(tail.buffer, tail.byteOffset).getUint32(0, true);
  const footer = await source.slice(Math.max(0, byteLength - 8 - length), byteLength);
  return `footer:${createHash('sha256').update(footer).digest('hex')}`;
}

async function spoolRows(
  rows: AsyncIterable<TableRow>,
  {
    file: { path },
    fileIndex,
    places,
    readPath,
    options: { textField, spool, signal, onText = () => {} },
  }: { file: DataFile; fileIndex: number; places: Places; readPath: string; options: ScanOptions },
): Promise<void> {
  const out = await open(readPath, 'w');
  let waiting: Buffer[] = [];
  let waitingBytes = 0;
  const flush = async (): Promise<void> => {
    await out.write(Buffer.concat(waiting));
    waiting = [];
    waitingBytes = 0;
  };
  try {
    let start = 0;
    for await (const { number, fields } of rows) {
      const line = rowAsJson(fields);
      const encoded = Buffer.from(`${line}\n`);
      try {
        const { text } = parseDocument(line, textField, '', basename(path));
        places.push({ file: fileIndex, start, bytes: encoded.length - 1, number }, textHash(text));
        onText(text);
      } catch (error) {
        if (error instanceof DocumentError) throw new Error(`${path} row ${number}: ${error.message}`);
        throw error;
      }
      waiting.push(encoded);
      waitingBytes += encoded.length;
      start += encoded.length;
      if (waitingBytes <= SPOOL_BYTES) continue;
      signal?.throwIfAborted();
      await flush();
    }
    await flush();
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === 'ENOSPC' ? noRoom(spool, path) : error;
  } finally {
    await out.close();
  }
}
