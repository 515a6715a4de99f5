/**
 * Data files -> training and held-out documents.
 *
 * Split: a document is held out when the first 32 bits of the sha256 of its text are a multiple of 20, so that a document
 * stays on its side when files are added, reordered or repeated, and equal texts are never on both sides. With few
 * documents none may fall on the held-out side; then the one with the smallest hash does. When held-out files are named, they
 * are the held-out documents, and training documents with the same text are left out. Either way training documents that are
 * nearly the same as a held-out one are left out too (near-duplicates.ts).
 *
 * Files are scanned once (errors, hashes, the split) and then read by document; large or remote Parquet is not (streamed.ts).
 */
import { createHash } from 'node:crypto';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HubAccess } from '../../hub/types.ts';
import { memoryDocuments, parseDocument } from '../documents.ts';
import { bandKeys, createKeyList, createLeakFilter } from '../near-duplicates.ts';
import type { Document, DocumentSet } from '../types.ts';
import { filePool } from './file-pool.ts';
import { resolveHubData } from './hub.ts';
import { type DataFile, findDataFiles, type ResolveData, weightedPaths } from './paths.ts';
import { createPlaces, decodeUtf8, type Places, type ScannedFile, scanFile, textHash } from './scan.ts';
import { joined, openStreamed, type Streamed, shouldStream } from './streamed.ts';
import { openTokenFolders, readTokenManifest, type TokenManifest } from './token-folder.ts';

/** One document in this many is held out. */
export const HELDOUT_EVERY = 20;

export type CorpusOptions = HubAccess & {
  /**
   * Text, JSONL, Parquet, CSV and TSV files and folders of them, folders of `saekit tokenize`, data sets of the hub (node/hub.ts), or what
   * `resolve` knows;
   * `path=0.8 other=0.2` mixes them by shares of tokens.
   */
  readonly data: readonly string[];
  /** Files for evaluation instead of the split. */
  readonly heldout?: readonly string[];
  /** JSONL field, or column of a table, that holds the text. */
  readonly textField?: string;
  /** Keep training documents that are nearly the same as a held-out one (see near-duplicates.ts). Default: they are left out. */
  readonly keepNearDuplicates?: boolean;
  /** Read Parquet as training goes on, without scanning it first (streamed.ts). Default: beyond 1 GiB, or 128 MiB of remote files. */
  readonly stream?: boolean;
  /** Finds what is no path on this disk. Default: the Hugging Face hub. */
  readonly resolve?: ResolveData;
  /** Called while the files are scanned. */
  readonly onProgress?: (bytesDone: number, bytesTotal: number) => void;
};

export type Corpus = {
  readonly files: readonly Pick<ScannedFile, 'path' | 'origin' | 'bytes' | 'sha256' | 'documents'>[];
  readonly train: DocumentSet;
  readonly heldout: DocumentSet;
  /** Of a mixture: the training documents of each part and its weight. */
  readonly mixture?: readonly { readonly documents: DocumentSet; readonly weight: number }[];
  /** How the documents were divided, in words, for people and run.json. */
  readonly split: string;
  /** Training documents left out because held-out files hold the same text, of the scanned ones. */
  readonly duplicates: number;
  /** Training documents left out because a held-out document holds nearly the same text, of the scanned ones. */
  readonly nearDuplicates: number;
  /** Closes files and removes what was unpacked. */
  close(): Promise<void>;
};

type Found = DataFile & {
  /** The part of the mixture that it belongs to; -1 for held-out files. */
  readonly part: number;
  readonly bytes: number;
};

const isHeldHash = (hash: number): boolean => hash % HELDOUT_EVERY === 0;

async function findAll(
  options: CorpusOptions,
  weighted: Awaited<ReturnType<typeof weightedPaths>>,
): Promise<Found[]> {
  const { data, heldout, signal, resolve = resolveHubData(options) } = options;
  const how = { resolve, ...(signal ? { signal } : {}) };
  const found: Found[] = [];
  const add = async (paths: readonly string[], part: number): Promise<void> => {
    for (const file of await findDataFiles(paths, how)) {
      if (part >= 0 && found.some(({ path }) => path === file.path))
        throw new Error(`${file.path} is in two parts of the mixture. Name it once.`);
      found.push({ ...file, part, bytes: file.source?.byteLength ?? (await stat(file.path)).size });
    }
  };
  for (const [part, paths] of (weighted?.map(({ path }) => [path]) ?? [data]).entries())
    await add(paths, part);
  if (heldout) await add(heldout, -1);
  return found;
}

/** Documents of scanned files by number: training and held-out ones, before near-duplicates are looked for. */
function split(
  places: Places,
  isHeldFile: (file: number) => boolean,
  byFile: boolean,
): { train: number[]; held: number[]; heldHashes: Set<number>; duplicates: number } {
  const train: number[] = [];
  const held: number[] = [];
  const heldHashes = new Set<number>();
  let duplicates = 0;
  if (byFile) {
    for (let i = 0; i < places.count; i++) {
      if (!isHeldFile(places.at(i).file)) continue;
      held.push(i);
      heldHashes.add(places.hashAt(i));
    }
    for (let i = 0; i < places.count; i++) {
      if (isHeldFile(places.at(i).file)) continue;
      if (heldHashes.has(places.hashAt(i))) duplicates++;
      else train.push(i);
    }
    return { train, held, heldHashes, duplicates };
  }
  for (let i = 0; i < places.count; i++) (isHeldHash(places.hashAt(i)) ? held : train).push(i);
  const [few, many] = held.length === 0 ? [held, train] : [train, held];
  if (few.length === 0 && many.length > 1) {
    let smallest = 0;
    for (let j = 1; j < many.length; j++)
      if (places.hashAt(many[j]!) < places.hashAt(many[smallest]!)) smallest = j;
    few.push(...many.splice(smallest, 1));
  }
  return { train, held, heldHashes, duplicates };
}

/**
 * Opens a corpus: scans every file once, or the footers of streamed ones, then reads documents when asked for.
 *
 * @throws when a file is missing (nearest names), a line is no document (file, line, fields found), text is not UTF-8,
 *   or no document is found at all
 * @example
 * const corpus = await openCorpus({ data: ['texts/'] });
 * const first = await corpus.train.get(0);
 * await corpus.close();
 */
export async function openCorpus(options: CorpusOptions): Promise<Corpus> {
  const { data, heldout, textField = 'text', keepNearDuplicates = false, signal } = options;
  const { onProgress = () => {} } = options;
  signal?.throwIfAborted();
  const weighted = await weightedPaths(data);
  const packed = await openPacked(weighted ?? data.map((path) => ({ path, weight: undefined })), options);
  if (packed) return packed;
  const found = await findAll(options, weighted);
  const training = found.filter(({ part }) => part >= 0);
  const streaming = options.stream ?? shouldStream(training);
  const isStreamed = ({ kind, part }: Found): boolean => streaming && kind === 'parquet' && part >= 0;
  const toScan = found.filter((file) => !isStreamed(file));
  const toStream = found.filter(isStreamed);

  const total = toScan.reduce((sum, { bytes }) => sum + bytes, 0);
  const spool = toScan.some(({ kind, gzip }) => gzip || !(kind === 'text' || kind === 'jsonl'))
    ? await mkdtemp(join(tmpdir(), 'saekit-'))
    : '';
  const places = createPlaces();
  const keys = createKeyList();
  const scanned: ScannedFile[] = [];
  let streamed: Streamed | undefined;
  let pool: ReturnType<typeof filePool> | undefined;
  const closeAll = async (): Promise<void> => {
    await pool?.close();
    await streamed?.close();
    if (spool !== '') await rm(spool, { recursive: true, force: true });
  };
  try {
    let done = 0;
    const onBytes = (bytes: number): void => {
      signal?.throwIfAborted();
      done += bytes;
      onProgress(done, total);
    };
    for (const [i, file] of toScan.entries())
      scanned.push(
        await scanFile(file, i, places, {
          textField: file.column ?? textField,
          spool,
          onBytes,
          signal,
          ...(keepNearDuplicates ? {} : { onText: keys.push }),
        }),
      );
    if (toStream.length > 0) streamed = await openStreamed(toStream, { textField, signal });
    const files = [...scanned, ...(streamed?.files ?? [])];
    if (!files.some(({ documents }, i) => documents > 0 && toScan[i]?.part !== -1)) {
      throw new Error(
        `The corpus is empty: no document in ${files
          .map(({ path, bytes }) => `${path} (${bytes} bytes)`)
          .slice(0, 5)
          .join(', ')}.`,
      );
    }
    return await assemble();
  } catch (error) {
    await closeAll();
    signal?.throwIfAborted();
    throw error;
  }

  async function assemble(): Promise<Corpus> {
    const opened = filePool(scanned);
    pool = opened;
    async function read(index: number): Promise<Document> {
      const { file, start, bytes, number } = places.at(index);
      const { name, path, kind, column = textField } = scanned[file]!;
      const where =
        kind === 'text'
          ? `${path}, at byte ${start}`
          : `${path} ${kind === 'jsonl' ? 'line' : 'row'} ${number}`;
      const text = decodeUtf8(await opened.read(file, start, bytes), where);
      if (kind === 'text') return { id: `${name}#${number}`, text, meta: { file: name, section: number } };
      return parseDocument(text, column, `${name}:${number}`, name);
    }

    const { train, held, heldHashes, duplicates } = split(
      places,
      (file) => toScan[file]!.part < 0,
      heldout !== undefined,
    );
    const isHeldText = ({ text }: Document): boolean =>
      heldout ? heldHashes.has(textHash(text)) : isHeldHash(textHash(text));
    const sample = heldout || !streamed ? [] : await streamed.sample(isHeldText);

    const leaks = createLeakFilter();
    if (!keepNearDuplicates) {
      for (const i of held) leaks.add(keys.at(i), async () => (await read(i)).text);
      for (const { text } of sample) leaks.add(bandKeys(text), async () => text);
    }
    const kept: number[] = [];
    for (const i of train) {
      signal?.throwIfAborted();
      if (!(await leaks.has(keys.at(i), async () => (await read(i)).text))) kept.push(i);
    }
    const near = train.length - kept.length;
    const keep = async (document: Document): Promise<boolean> =>
      !isHeldText(document) &&
      (keepNearDuplicates || !(await leaks.has(bandKeys(document.text), async () => document.text)));

    // Another set of training documents is another order: a saved position must not be taken for it.
    const contents = `${scanned.map(({ sha256, column }) => (column ? `${sha256}#${column}` : sha256)).join(' ')}${near > 0 ? ` without ${near}` : ''}`;
    const trainFiles = toScan.filter(({ part }) => part >= 0).length;
    function scannedSet(name: string, list: readonly number[]): DocumentSet {
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
    /** Training documents of one part of the mixture, or of all. */
    function trainingSet(name: string, inPart: (part: number) => boolean): DocumentSet {
      const own = kept.filter((i) => inPart(toScan[places.at(i).file]!.part));
      const streams = toStream.flatMap(({ part }, i) => (inPart(part) ? [streamed!.documents(i, keep)] : []));
      return streams.length === 0
        ? scannedSet(name, own)
        : joined(name, [...(own.length > 0 ? [scannedSet(name, own)] : []), ...streams]);
    }

    const mixture = weighted?.map(({ path, weight }, part) => {
      const documents = trainingSet(`training data of ${path}`, (other) => other === part);
      if (documents.count === 0)
        throw new Error(
          `${path}: no document of this part of the mixture is left for training. Add text, or leave it out.`,
        );
      return { documents, weight };
    });
    const heldSets = [
      ...(held.length > 0 || !streamed ? [scannedSet('held-out data', held)] : []),
      ...(sample.length > 0 ? [memoryDocuments(sample, { name: 'held-out data' })] : []),
    ];
    return {
      files: [...scanned, ...(streamed?.files ?? [])],
      train: trainingSet('training data', () => true),
      heldout: joined('held-out data', heldSets),
      ...(mixture ? { mixture } : {}),
      split: splitText({
        heldout,
        near,
        streamed: toStream.length,
        sample: sample.length,
        keepNearDuplicates,
      }),
      duplicates,
      nearDuplicates: near,
      close: closeAll,
    };
  }
}

/** Folders of packed rows; undefined when there is none among the paths. */
async function openPacked(
  paths: readonly { readonly path: string; readonly weight: number | undefined }[],
  { heldout }: CorpusOptions,
): Promise<Corpus | undefined> {
  const found: { folder: string; manifest: TokenManifest }[] = [];
  for (const { path } of paths) {
    const manifest = await readTokenManifest(path);
    if (manifest) found.push({ folder: path, manifest });
  }
  if (found.length === 0) return undefined;
  if (found.length < paths.length)
    throw new Error(
      `${found[0]!.folder} holds packed rows, and ${paths.find(({ path }) => !found.some(({ folder }) => folder === path))!.path} does not. Tokenize that too, or leave one of them out.`,
    );
  if (heldout)
    throw new Error(
      `${found[0]!.folder} holds packed rows with a held-out part of their own. Leave --heldout out, or name it when you tokenize.`,
    );
  const { train, parts, heldout: held } = openTokenFolders(found);
  const weights = paths.map(({ weight }) => weight);
  return {
    files: found.flatMap(({ manifest }) => manifest.sources),
    train,
    heldout: held,
    ...(weights[0] === undefined
      ? {}
      : { mixture: parts.map((documents, i) => ({ documents, weight: weights[i]! })) }),
    split: [...new Set(found.map(({ manifest }) => manifest.split))].join('; '),
    duplicates: 0,
    nearDuplicates: 0,
    async close() {},
  };
}

function splitText(of: {
  readonly heldout: readonly string[] | undefined;
  readonly near: number;
  readonly streamed: number;
  readonly sample: number;
  readonly keepNearDuplicates: boolean;
}): string {
  const { heldout, near, streamed, sample, keepNearDuplicates } = of;
  const parts = [
    heldout
      ? `held-out files: ${heldout.join(', ')}`
      : `1 document in ${HELDOUT_EVERY} held out, by sha256 of its text`,
  ];
  if (near > 0) parts.push(`${near} training documents left out as near-duplicates of held-out ones`);
  if (streamed > 0)
    parts.push(
      `${streamed} files read as training goes on${heldout ? '' : `, ${sample} of their held-out documents are measured`}${keepNearDuplicates ? '' : ', near-duplicates left out when met'}`,
    );
  return parts.join('; ');
}
