/**
 * Large or remote Parquet, read as training goes on: nothing is scanned, so what a row holds is known only when it is read.
 *
 *     training:  every row but those that fall on the held-out side by their hash, or equal or nearly equal a held-out document
 *     held out:  the first 1,000 documents on the held-out side along a fixed shuffled order, read at the start
 *
 * So large data starts at once and its held-out documents are never trained on; the price is an order that shuffles row groups, and rows
 * within them, instead of all rows.
 */
import { basename } from 'node:path';
import { openFile } from '../../platform/node.ts';
import type { ByteSource } from '../../platform/types.ts';
import { joinDocuments } from '../mix.ts';
import { documentOrder } from '../order.ts';
import { type GroupCache, openParquetDocuments } from '../parquet.ts';
import type { Document, DocumentSet } from '../types.ts';
import type { DataFile } from './paths.ts';
import { parquetHash, type ScannedFile } from './scan.ts';

/** Parquet beyond this is not scanned first; of remote files that is a download. */
const SCAN_BYTES = 2 ** 30;
const SCAN_REMOTE_BYTES = 2 ** 27;
/** Held-out documents read at the start, and the files they come from, at most. */
const SAMPLE = 1000;
const SAMPLE_FILES = 8;

/** Whether Parquet files are read as training goes on, when nobody has said so. */
export function shouldStream(files: readonly (DataFile & { readonly bytes: number })[]): boolean {
  const parquet = files.filter(({ kind }) => kind === 'parquet');
  const bytes = parquet.reduce((sum, file) => sum + file.bytes, 0);
  return bytes > (parquet.some(({ source }) => source) ? SCAN_REMOTE_BYTES : SCAN_BYTES);
}

export type Streamed = {
  readonly files: readonly ScannedFile[];
  /** The rows of file i that `keep` takes; the others have no text. */
  documents(file: number, keep: (document: Document) => Promise<boolean>): DocumentSet;
  /** Documents that `isHeld` takes, from evenly spaced files. */
  sample(isHeld: (document: Document) => boolean): Promise<Document[]>;
  close(): Promise<void>;
};

/** Opens the files: of each only its footer is read. */
export async function openStreamed(
  found: readonly DataFile[],
  { textField, signal }: { readonly textField: string; readonly signal?: AbortSignal | undefined },
): Promise<Streamed> {
  const sources: ByteSource[] = [];
  const close = async (): Promise<void> => {
    for (const source of sources) await source.close?.();
  };
  const cache: GroupCache = new Map();
  const opened: { file: ScannedFile; documents: Awaited<ReturnType<typeof openParquetDocuments>> }[] = [];
  try {
    for (const file of found) {
      signal?.throwIfAborted();
      const { path, column = textField } = file;
      const source = file.source ?? (await openFile(path));
      sources.push(source);
      const documents = await openParquetDocuments(source, { name: path, column, cache });
      opened.push({
        documents,
        file: {
          ...file,
          name: basename(path),
          readPath: path,
          bytes: source.byteLength,
          sha256: await parquetHash(source),
          documents: documents.count,
        },
      });
    }
  } catch (error) {
    await close();
    throw error;
  }

  return {
    files: opened.map(({ file }) => file),
    documents(i, keep) {
      const { file, documents } = opened[i]!;
      return {
        name: file.path,
        count: documents.count,
        blocks: documents.blocks,
        fingerprint: `${file.sha256}#${file.column ?? textField}`,
        async get(index) {
          const document = await documents.get(index);
          return (await keep(document)) ? document : { ...document, text: '' };
        },
      };
    },
    async sample(isHeld) {
      const step = Math.max(1, Math.floor(opened.length / SAMPLE_FILES));
      const from = opened.filter((_, i) => i % step === 0).slice(0, SAMPLE_FILES);
      const held: Document[] = [];
      for (const [n, { documents }] of from.entries()) {
        const order = documentOrder(documents, 'held-out', 0);
        const enough = Math.ceil((SAMPLE * (n + 1)) / from.length);
        for (let i = 0; i < documents.count && held.length < enough; i++) {
          signal?.throwIfAborted();
          const document = await documents.get(order(i));
          if (isHeld(document)) held.push(document);
        }
      }
      return held;
    },
    close,
  };
}

/** Sets joined under one name, or the only one of them renamed. */
export function joined(name: string, sets: readonly DocumentSet[]): DocumentSet {
  return sets.length === 1 ? { ...sets[0]!, name } : joinDocuments(name, sets);
}
