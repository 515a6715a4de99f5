/**
 * Text and JSONL files -> training and held-out documents.
 *
 * Split: a document is held out when the first 32 bits of the sha256 of its text are a multiple of 20, so that a document
 * stays on its side when files are added, reordered or repeated, and equal texts are never on both sides. With few
 * documents none may fall on the held-out side; then the one with the smallest hash does. When held-out files are named, they
 * are the held-out documents, and training documents with the same text are left out.
 */
import { createHash } from 'node:crypto';
import { type FileHandle, mkdtemp, open, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseDocument } from '../documents.ts';
import type { Document, DocumentSet } from '../types.ts';
import { type DataFile, findDataFiles, weightedPaths } from './paths.ts';
import { createPlaces, decodeUtf8, type ScannedFile, scanFile } from './scan.ts';

/** One document in this many is held out. */
export const HELDOUT_EVERY = 20;
/** Files held open for reading; a corpus may have thousands. */
const MAX_OPEN_FILES = 64;

export type CorpusOptions = {
  /** Text, JSONL, Parquet, CSV and TSV files and folders of them; `path=0.8 other=0.2` mixes them by shares of tokens. */
  readonly data: readonly string[];
  /** Files for evaluation instead of the split. */
  readonly heldout?: readonly string[];
  /** JSONL field that holds the text. */
  readonly textField?: string;
  /** Called while the files are scanned. */
  readonly onProgress?: (bytesDone: number, bytesTotal: number) => void;
};

export type Corpus = {
  readonly files: readonly ScannedFile[];
  readonly train: DocumentSet;
  readonly heldout: DocumentSet;
  /** Of a mixture: the training documents of each part and its weight. */
  readonly mixture?: readonly { readonly documents: DocumentSet; readonly weight: number }[];
  /** How the documents were divided, in words, for people and run.json. */
  readonly split: string;
  /** Training documents left out because held-out files hold the same text. */
  readonly duplicates: number;
  /** Closes files and removes what was unpacked. */
  close(): Promise<void>;
};

function filePool(files: readonly ScannedFile[]): {
  read(file: number, start: number, bytes: number): Promise<Uint8Array>;
  close(): Promise<void>;
} {
  const handles = new Map<number, FileHandle>();
  async function readNow(file: number, start: number, bytes: number): Promise<Uint8Array> {
    let handle = handles.get(file);
    // Moved to the end of the map: the first entry is the one used longest ago.
    if (handle) handles.delete(file);
    else handle = await open(files[file]!.readPath, 'r');
    handles.set(file, handle);
    if (handles.size > MAX_OPEN_FILES) {
      const [oldest, old] = handles.entries().next().value!;
      handles.delete(oldest);
      await old.close();
    }
    const buffer = new Uint8Array(bytes);
    const { bytesRead } = await handle.read(buffer, 0, bytes, start);
    if (bytesRead < bytes) {
      throw new Error(
        `${files[file]!.path}: shorter than when it was scanned. Do not change data files during a run.`,
      );
    }
    return buffer;
  }
  let last: Promise<unknown> = Promise.resolve();
  return {
    // One at a time: callers may ask for many documents at once, and the pool must not open a file twice.
    read(file, start, bytes) {
      const result = last.then(() => readNow(file, start, bytes));
      last = result.catch(() => {});
      return result;
    },
    async close() {
      await last;
      for (const handle of handles.values()) await handle.close();
      handles.clear();
    },
  };
}

/**
 * Opens a corpus: scans every file once (errors, hashes, the split), then reads documents when asked for.
 *
 * @throws when a file is missing (nearest names), a line is no document (file, line, fields found), text is not UTF-8,
 *   or no document is found at all
 * @example
 * const corpus = await openCorpus({ data: ['texts/'] });
 * const first = await corpus.train.get(0);
 * await corpus.close();
 */
export async function openCorpus({
  data,
  heldout,
  textField = 'text',
  onProgress = () => {},
}: CorpusOptions): Promise<Corpus> {
  const weighted = await weightedPaths(data);
  const found: DataFile[] = [];
  /** The part of the mixture that each training file belongs to. */
  const partOf: number[] = [];
  for (const [part, paths] of (weighted?.map(({ path }) => [path]) ?? [data]).entries())
    for (const file of await findDataFiles(paths)) {
      if (found.some(({ path }) => path === file.path))
        throw new Error(`${file.path} is in two parts of the mixture. Name it once.`);
      found.push(file);
      partOf.push(part);
    }
  const trainFiles = found.length;
  if (heldout) found.push(...(await findDataFiles(heldout)));

  let total = 0;
  for (const { path } of found) total += (await stat(path)).size;
  const spool = found.some(({ kind, gzip }) => gzip || !(kind === 'text' || kind === 'jsonl'))
    ? await mkdtemp(join(tmpdir(), 'saekit-'))
    : '';
  const removeSpool = async (): Promise<void> => {
    if (spool !== '') await rm(spool, { recursive: true, force: true });
  };

  const places = createPlaces();
  const files: ScannedFile[] = [];
  try {
    let done = 0;
    const onBytes = (bytes: number): void => {
      done += bytes;
      onProgress(done, total);
    };
    for (const [i, file] of found.entries())
      files.push(await scanFile(file, i, places, { textField, spool, onBytes }));
    if (!files.slice(0, trainFiles).some(({ documents }) => documents > 0)) {
      throw new Error(
        `The corpus is empty: no document in ${files
          .map(({ path, bytes }) => `${path} (${bytes} bytes)`)
          .slice(0, 5)
          .join(', ')}.`,
      );
    }
  } catch (error) {
    await removeSpool();
    throw error;
  }

  const train: number[] = [];
  const held: number[] = [];
  let duplicates = 0;
  if (heldout) {
    const heldHashes = new Set<number>();
    for (let i = 0; i < places.count; i++) {
      if (places.at(i).file < trainFiles) continue;
      held.push(i);
      heldHashes.add(places.hashAt(i));
    }
    for (let i = 0; i < places.count && places.at(i).file < trainFiles; i++) {
      if (heldHashes.has(places.hashAt(i))) duplicates++;
      else train.push(i);
    }
  } else {
    for (let i = 0; i < places.count; i++) (places.hashAt(i) % HELDOUT_EVERY === 0 ? held : train).push(i);
    const [few, many] = held.length === 0 ? [held, train] : [train, held];
    if (few.length === 0 && many.length > 1) {
      let smallest = 0;
      for (let j = 1; j < many.length; j++)
        if (places.hashAt(many[j]!) < places.hashAt(many[smallest]!)) smallest = j;
      few.push(...many.splice(smallest, 1));
    }
  }

  const pool = filePool(files);
  async function read(index: number): Promise<Document> {
    const { file, start, bytes, number } = places.at(index);
    const { name, path, kind } = files[file]!;
    const where =
      kind === 'text'
        ? `${path}, at byte ${start}`
        : `${path} ${kind === 'jsonl' ? 'line' : 'row'} ${number}`;
    const text = decodeUtf8(await pool.read(file, start, bytes), where);
    if (kind === 'text') return { id: `${name}#${number}`, text, meta: { file: name, section: number } };
    return parseDocument(text, textField, `${name}:${number}`, name);
  }

  const contents = files.map(({ sha256 }) => sha256).join(' ');
  function documentSet(name: string, list: readonly number[]): DocumentSet {
    const indices = Uint32Array.from(list);
    const fingerprint = createHash('sha256')
      .update(`${name} ${textField} ${trainFiles} ${contents}`)
      .digest('hex');
    return {
      name,
      count: indices.length,
      fingerprint: fingerprint.slice(0, 16),
      async get(i) {
        if (!(i >= 0 && i < indices.length))
          throw new RangeError(`${name}: document ${i} of ${indices.length}`);
        return await read(indices[i]!);
      },
    };
  }

  const mixture = weighted?.map(({ path, weight }, part) => {
    const own = train.filter((i) => partOf[places.at(i).file] === part);
    if (own.length === 0)
      throw new Error(
        `${path}: no document of this part of the mixture is left for training. Add text, or leave it out.`,
      );
    return { documents: documentSet(`training data of ${path}`, own), weight };
  });
  return {
    files,
    train: documentSet('training data', train),
    heldout: documentSet('held-out data', held),
    ...(mixture ? { mixture } : {}),
    split: heldout
      ? `held-out files: ${heldout.join(', ')}`
      : `1 document in ${HELDOUT_EVERY} held out, by sha256 of its text`,
    duplicates,
    async close() {
      await pool.close();
      await removeSpool();
    },
  };
}
