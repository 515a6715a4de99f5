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
import { bandKeys, createNearIndex, jaccard, NEAR_DUPLICATE, shingles } from '../near-duplicates.ts';
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
  /** Keep training documents that are nearly the same as a held-out one (see near-duplicates.ts). Default: they are left out. */
  readonly keepNearDuplicates?: boolean;
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
  /** Training documents left out because a held-out document holds nearly the same text. */
  readonly nearDuplicates: number;
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

/** Band keys of every document in typed arrays that grow: 64 bytes each, all zero for documents too short to compare. */
function createKeyList() {
  const width = 16;
  let keys = new Uint32Array(1024 * width);
  let count = 0;
  return {
    push(text: string): void {
      if ((count + 1) * width > keys.length) {
        const grown = new Uint32Array(keys.length * 2);
        grown.set(keys);
        keys = grown;
      }
      const own = bandKeys(text);
      if (own) keys.set(own, count * width);
      count++;
    },
    at(i: number): Uint32Array | undefined {
      const own = keys.subarray(i * width, (i + 1) * width);
      return own.every((key) => key === 0) ? undefined : own;
    },
  };
}

/** The training documents that are near-duplicates of a held-out one; candidates are read and compared exactly. */
async function nearDuplicates(
  train: readonly number[],
  held: readonly number[],
  keys: ReturnType<typeof createKeyList>,
  read: (index: number) => Promise<Document>,
): Promise<Set<number>> {
  const index = createNearIndex();
  for (const i of held) {
    const own = keys.at(i);
    if (own) index.add(i, own);
  }
  const near = new Set<number>();
  for (const i of train) {
    const own = keys.at(i);
    const candidates = own ? index.candidates(own) : new Set<number>();
    if (candidates.size === 0) continue;
    const mine = shingles((await read(i)).text);
    for (const other of candidates)
      if (jaccard(mine, shingles((await read(other)).text)) >= NEAR_DUPLICATE) {
        near.add(i);
        break;
      }
  }
  return near;
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
  keepNearDuplicates = false,
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
  const keys = createKeyList();
  const files: ScannedFile[] = [];
  try {
    let done = 0;
    const onBytes = (bytes: number): void => {
      done += bytes;
      onProgress(done, total);
    };
    for (const [i, file] of found.entries())
      files.push(
        await scanFile(file, i, places, {
          textField,
          spool,
          onBytes,
          ...(keepNearDuplicates ? {} : { onText: keys.push }),
        }),
      );
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

  let train: number[] = [];
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

  const near = keepNearDuplicates ? new Set<number>() : await nearDuplicates(train, held, keys, read);
  if (near.size > 0) train = train.filter((i) => !near.has(i));

  // Another set of training documents is another order: a saved position must not be taken for it.
  const contents = `${files.map(({ sha256 }) => sha256).join(' ')}${near.size > 0 ? ` without ${near.size}` : ''}`;
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
    split: `${
      heldout
        ? `held-out files: ${heldout.join(', ')}`
        : `1 document in ${HELDOUT_EVERY} held out, by sha256 of its text`
    }${near.size > 0 ? `; ${near.size} training documents left out as near-duplicates of held-out ones` : ''}`,
    duplicates,
    nearDuplicates: near.size,
    async close() {
      await pool.close();
      await removeSpool();
    },
  };
}
