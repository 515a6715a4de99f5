/**
 * Packed rows on disk: what `saekit tokenize` writes.
 *
 *     manifest.json                 what was tokenized, with what, and the shards with their sha256
 *     train-00000.safetensors …     ids I32 [R,T], mask U8 [R,T], documents I32 [R,T]; with roles also keep U8 [R,T]
 *     heldout-00000.safetensors …
 *
 * The rows are those of packing on the fly with the same seed (pack.ts). A shard is read whole, its sha256 checked, and two are kept.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { readSafetensors, writeSafetensors } from '../../formats/index.ts';
import { fromBytes } from '../../platform/index.ts';
import { migrate, NewerFile, schemaVersionOf } from '../../shared/migrate.ts';
import { folderWriter } from '../../store/index.ts';
import type { RowSource } from '../pack.ts';
import type { DocumentSet, PackedRows } from '../types.ts';

export const TOKEN_FORMAT = 'saekit tokens';
/** Positions per shard: some 40 MB. */
const SHARD_POSITIONS = 2 ** 22;
/** Shards kept after reading. */
const KEPT_SHARDS = 2;
const ROWS_AT_ONCE = 64;

const part = z.strictObject({
  documents: z.int().nonnegative().describe('Documents that the rows were packed from.'),
  tokens: z.int().nonnegative().describe('Positions that hold a token, BOS included.'),
  rows: z.int().nonnegative(),
  shards: z.array(
    z.strictObject({
      file: z.string().regex(/^[\w-]+\.safetensors$/),
      rows: z.int().positive(),
      sha256: z.string(),
    }),
  ),
});

export const tokenManifestSchema = z.strictObject({
  format: z.literal(TOKEN_FORMAT),
  schemaVersion: z.literal(schemaVersionOf('tokens')),
  contextLength: z.int().min(2).describe('T, positions per row, BOS included.'),
  bosTokenId: z
    .int()
    .nonnegative()
    .nullable()
    .describe('Begins every row and every document; null: none does.'),
  tokenizer: z.strictObject({ model: z.string(), sha256: z.string().describe('Of tokenizer.json.') }),
  seed: z.string().describe('Seed of the order of the training documents.'),
  roles: z.array(z.string()).optional().describe('Roles whose tokens are trained on (`keep`).'),
  split: z.string().describe('How documents were divided into training and held-out, in words.'),
  sources: z.array(
    z.strictObject({
      path: z.string(),
      bytes: z.int().nonnegative(),
      sha256: z.string(),
      documents: z.int().nonnegative(),
    }),
  ),
  train: part,
  heldout: part,
});
export type TokenManifest = z.output<typeof tokenManifestSchema>;
type Part = TokenManifest['train'];

/** The manifest of a folder of packed rows; undefined when the path is something else. Throws when the manifest is damaged. */
export async function readTokenManifest(folder: string): Promise<TokenManifest | undefined> {
  const path = join(folder, 'manifest.json');
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined || !text.includes(`"${TOKEN_FORMAT}"`)) return undefined;
  try {
    return tokenManifestSchema.parse(migrate('tokens', JSON.parse(text), path));
  } catch (error) {
    if (error instanceof NewerFile) throw error;
    throw new Error(`${path} cannot be read (${(error as Error).message}). Tokenize again.`);
  }
}

/** One shard on disk. */
type Shard = {
  readonly path: string;
  readonly rows: number;
  readonly sha256: string;
  readonly firstDocument: number;
};
type Arrays = { ids: Int32Array; mask: Uint8Array; documents: Int32Array; keep: Uint8Array | undefined };

async function readShard(
  { path, rows, sha256, firstDocument }: Shard,
  T: number,
  keeps: boolean,
): Promise<Arrays> {
  const bytes = await readFile(path).catch((error: Error) => {
    throw new Error(`${path}: ${error.message}. The folder is not whole: copy it again, or tokenize again.`);
  });
  if (createHash('sha256').update(bytes).digest('hex') !== sha256)
    throw new Error(
      `${path}: wrong checksum: the file is not the one that was written. Copy it again, or tokenize again.`,
    );
  const file = await readSafetensors(
    fromBytes(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)),
    path,
  );
  const read = async (name: string): Promise<Int32Array | Uint8Array> => {
    const { shape } = file.tensors.get(name) ?? {};
    if (shape?.[0] !== rows || shape[1] !== T)
      throw new Error(
        `${path}: ${name} is [${shape?.join(', ') ?? 'missing'}], expected [${rows}, ${T}]. Tokenize again.`,
      );
    return (await file.read(name)) as Int32Array | Uint8Array;
  };
  const documents = (await read('documents')) as Int32Array;
  return {
    ids: (await read('ids')) as Int32Array,
    mask: (await read('mask')) as Uint8Array,
    documents: documents.map((d) => (d < 0 ? d : d + firstDocument)),
    keep: keeps ? ((await read('keep')) as Uint8Array) : undefined,
  };
}

/** The rows of one part of token folders, one folder after the other, as a document set. */
function tokenDocuments(
  name: string,
  folders: readonly { readonly folder: string; readonly manifest: TokenManifest; readonly part: Part }[],
): DocumentSet {
  const { manifest: first, folder } = folders[0]!;
  const T = first.contextLength;
  const shards: Shard[] = [];
  let count = 0;
  for (const { folder: from, part: own } of folders) {
    for (const shard of own.shards)
      shards.push({ ...shard, path: join(from, shard.file), firstDocument: count });
    count += own.documents;
  }
  const blocks = [0];
  for (const { rows } of shards) blocks.push(blocks.at(-1)! + rows);
  const kept = new Map<number, Promise<Arrays>>();
  const load = (s: number): Promise<Arrays> => {
    const shard = kept.get(s) ?? readShard(shards[s]!, T, first.roles !== undefined);
    kept.delete(s);
    kept.set(s, shard);
    if (kept.size > KEPT_SHARDS) kept.delete(kept.keys().next().value!);
    shard.catch(() => kept.delete(s));
    return shard;
  };
  return {
    name,
    count,
    fingerprint: createHash('sha256')
      .update(shards.map(({ sha256 }) => sha256).join())
      .digest('hex')
      .slice(0, 16),
    stored: {
      name: folder,
      T,
      rows: blocks.at(-1)!,
      bosTokenId: first.bosTokenId ?? undefined,
      tokenizerHash: first.tokenizer.sha256,
      seed: first.seed,
      ...(first.roles ? { roles: first.roles } : {}),
      blocks,
      async read(row) {
        const s = blocks.findLastIndex((begin) => begin <= row);
        const { ids, mask, documents, keep } = await load(s);
        const [from, to] = [(row - blocks[s]!) * T, (row - blocks[s]! + 1) * T];
        return {
          ids: ids.subarray(from, to),
          mask: mask.subarray(from, to),
          documents: documents.subarray(from, to),
          ...(keep ? { keep: keep.subarray(from, to) } : {}),
        };
      },
    },
    get: async (index) => ({ id: `${folder}#${index}`, text: '', meta: {} }),
  };
}

/** Training rows of each folder and of all, and the held-out rows of all. Throws when they were not packed alike. */
export function openTokenFolders(
  folders: readonly { readonly folder: string; readonly manifest: TokenManifest }[],
): {
  readonly train: DocumentSet;
  readonly parts: readonly DocumentSet[];
  readonly heldout: DocumentSet;
} {
  const [first, ...others] = folders;
  for (const { folder, manifest } of others)
    for (const [what, of] of [
      ['context length', (m: TokenManifest) => m.contextLength],
      ['BOS', (m: TokenManifest) => m.bosTokenId],
      ['tokenizer', (m: TokenManifest) => m.tokenizer.sha256],
      ['roles', (m: TokenManifest) => m.roles?.join()],
    ] as const)
      if (of(manifest) !== of(first!.manifest))
        throw new Error(
          `${folder} and ${first!.folder} were not packed alike: ${what} ${of(manifest)} and ${of(first!.manifest)}. Tokenize one of them again.`,
        );
  const [train, heldout] = (['train', 'heldout'] as const).map((side) =>
    folders.map((one) => ({ ...one, part: one.manifest[side] })),
  );
  return {
    train: tokenDocuments('training rows', train!),
    parts: train!.map((one) => tokenDocuments(`training rows of ${one.folder}`, [one])),
    heldout: tokenDocuments('held-out rows', heldout!),
  };
}

export type WriteTokens = {
  /** Finite. */
  readonly rows: RowSource;
  readonly documents: number;
};

/**
 * Writes a folder of packed rows: all of it, or nothing.
 *
 * @param head the manifest but for the rows
 * @param onRows called with the positions written so far
 */
export async function writeTokenFolder(
  folder: string,
  { train, heldout }: { readonly train: WriteTokens; readonly heldout: WriteTokens | undefined },
  head: Omit<TokenManifest, 'format' | 'schemaVersion' | 'train' | 'heldout'>,
  {
    signal,
    onRows = () => {},
  }: { readonly signal?: AbortSignal; readonly onRows?: (positions: number) => void } = {},
): Promise<TokenManifest> {
  if (await stat(folder).catch(() => undefined))
    throw new Error(`${folder} is there already. Name another folder with --out, or remove it.`);
  const temporary = `${folder}.tmp-${process.pid}`;
  await mkdir(temporary, { recursive: true });
  const writer = folderWriter(temporary);
  let positions = 0;

  async function writePart(name: string, source: WriteTokens | undefined): Promise<Part> {
    const shards: Part['shards'] = [];
    let [tokens, total] = [0, 0];
    if (!source) return { documents: 0, tokens, rows: total, shards };
    const T = head.contextLength;
    const perShard = Math.max(1, Math.floor(SHARD_POSITIONS / T));
    for (let ended = false; !ended; ) {
      const chunks: PackedRows[] = [];
      let rows = 0;
      while (rows < perShard) {
        signal?.throwIfAborted();
        const next = await source.rows.next(Math.min(ROWS_AT_ONCE, perShard - rows));
        ended = next === undefined;
        if (next === undefined) break;
        chunks.push(next);
        rows += next.R;
        for (const one of next.mask) tokens += one;
        onRows((positions += next.R * T));
      }
      if (rows === 0) break;
      const file = `${name}-${String(shards.length).padStart(5, '0')}.safetensors`;
      shards.push({ file, rows, sha256: await writeShard(file, chunks, [rows, T]) });
      total += rows;
    }
    return { documents: source.documents, tokens, rows: total, shards };
  }

  async function writeShard(
    file: string,
    chunks: readonly PackedRows[],
    shape: [number, number],
  ): Promise<string> {
    const size = shape[0] * shape[1];
    const ids = new Int32Array(size);
    const documents = new Int32Array(size);
    const mask = new Uint8Array(size);
    const keep = new Uint8Array(size).fill(1);
    let at = 0;
    for (const chunk of chunks) {
      ids.set(chunk.ids, at);
      documents.set(chunk.documents, at);
      mask.set(chunk.mask, at);
      if (chunk.keep) keep.set(chunk.keep, at);
      at += chunk.R * chunk.T;
    }
    const bytes = writeSafetensors({
      ids: { dtype: 'I32', shape, data: ids },
      documents: { dtype: 'I32', shape, data: documents },
      mask: { dtype: 'U8', shape, data: mask },
      ...(head.roles ? { keep: { dtype: 'U8' as const, shape, data: keep } } : {}),
    });
    const sha256 = createHash('sha256');
    for (const chunk of bytes) sha256.update(chunk);
    await writer.write(
      file,
      bytes,
      bytes.reduce((sum, { length }) => sum + length, 0),
    );
    return sha256.digest('hex');
  }

  try {
    const manifest: TokenManifest = {
      format: TOKEN_FORMAT,
      schemaVersion: schemaVersionOf('tokens'),
      ...head,
      train: await writePart('train', train),
      heldout: await writePart('heldout', heldout),
    };
    const bytes = new TextEncoder().encode(`${JSON.stringify(manifest, null, 2)}\n`);
    await writer.write('manifest.json', [bytes], bytes.length);
    await rename(temporary, folder);
    return manifest;
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
}
