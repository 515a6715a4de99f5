/** Reads activations that saekit wrote (manifest.ts). The manifest is checked against every shard's header before a row is read. */
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  dequantizeInt8,
  elementsOf,
  INT8_BLOCK,
  int8Blocks,
  type RowReader,
  readIntegers,
  readRegion,
  readSafetensors,
  type Safetensors,
  shapeText,
  type TensorEntry,
} from '../../formats/index.ts';
import type { ActivationsManifest, HarvestOrigin } from '../../shared/activations.ts';
import { sameModel } from '../../shared/model-hash.ts';
import { contentHash, HELDOUT_FOLDER, MANIFEST_FILE, REMEDY, readManifest, STORED_AS } from './manifest.ts';
import { createFilePool, type FilePool } from './sources/files.ts';
import { joinParts, type Part } from './sources/joined.ts';
import type { ActivationSource } from './types.ts';

/** Bytes hashed between two looks at the signal. */
const HASH_AT_ONCE = 16 * 2 ** 20;

type Shard = ActivationsManifest['shards'][number];

/** `PATH/shard-00001.safetensors (rows 65536 to 131071 of 300000)` */
function* named(
  path: string,
  { shards, rows }: ActivationsManifest,
): Generator<{ shard: Shard; where: string; what: string }> {
  let first = 0;
  for (const shard of shards) {
    const where = join(path, shard.file);
    yield { shard, where, what: `${where} (rows ${first} to ${first + shard.rows - 1} of ${rows})` };
    first += shard.rows;
  }
}

/** A tensor of a shard that must have this type and shape. */
function expectTensor(
  { tensors }: Safetensors,
  name: string,
  dtype: string,
  shape: readonly number[],
  what: string,
): TensorEntry {
  const found = tensors.get(name);
  if (found?.dtype === dtype && shapeText(found.shape) === shapeText(shape)) return found;
  throw new Error(
    `${what}: ${name} is ${found ? `${found.dtype} ${shapeText(found.shape)}` : 'missing'}; ${MANIFEST_FILE} says ${dtype} ${shapeText(shape)}. The shard is of another harvest. ${REMEDY}`,
  );
}

function int8Reader({ source }: Safetensors, x: TensorEntry, scale: TensorEntry): RowReader['read'] {
  const D = x.shape[1]!;
  const blocks = int8Blocks(D);
  return async (from, count, into) => {
    const [q, s] = await Promise.all([
      source.slice(x.start + from * D, x.start + (from + count) * D),
      source.slice(scale.start + from * blocks * 4, scale.start + (from + count) * blocks * 4),
    ]);
    dequantizeInt8(elementsOf(q, 'I8') as Int8Array, elementsOf(s, 'F32') as Float32Array, D, into);
  };
}

async function openShard(
  pool: FilePool,
  { origin: { D, dtype } }: ActivationsManifest,
  { rows, bytes }: Shard,
  where: string,
  what: string,
): Promise<RowReader> {
  const info = await stat(where).catch(() => undefined);
  if (!info?.isFile()) throw new Error(`${what} is missing. ${REMEDY}`);
  if (info.size !== bytes)
    throw new Error(
      `${what} has ${info.size} bytes; ${MANIFEST_FILE} says ${bytes}. It was ${info.size < bytes ? 'cut off' : 'replaced'}. ${REMEDY}`,
    );
  const file = await readSafetensors((await pool.file(where)).source, what);
  const stored = STORED_AS[dtype];
  const x = expectTensor(file, 'x', stored, [rows, D], what);
  const tokens = expectTensor(file, 'tokens', 'I32', [rows], what);
  const read =
    stored === 'I8'
      ? int8Reader(file, x, expectTensor(file, 'scale', 'F32', [rows, int8Blocks(D)], what))
      : (from: number, count: number, into: Float32Array) =>
          readRegion({ source: file.source, start: x.start, rows, D, dtype: stored }, from, count, into);
  return {
    rows,
    D,
    stored: stored === 'I8' ? `I8 in blocks of ${INT8_BLOCK}` : stored,
    read,
    readTokens: (from, count) =>
      readIntegers({ source: file.source, start: tokens.start, dtype: 'I32' }, from, count),
  };
}

/** Where the held-out rows lie that belong to these training rows. Throws for others: what was held out there may be trained on here. */
async function heldoutOf(path: string, { origin }: ActivationsManifest): Promise<string | undefined> {
  if (origin.part === 'heldout') return undefined;
  const folder = join(path, HELDOUT_FOLDER);
  const other = await readManifest(folder);
  if (!other || other.rows === 0) return undefined;
  const identity = ({ hook, split, data }: HarvestOrigin): string =>
    JSON.stringify([hook, split, data.map(({ sha256 }) => sha256)]);
  const { model, part } = other.origin;
  if (
    part === 'heldout' &&
    sameModel(model.hash, origin.model.hash) &&
    identity(other.origin) === identity(origin)
  )
    return folder;
  throw new Error(
    `${folder} holds rows of another model, hook or data than ${path}, so some of them may be trained on. Remove ${folder}, or harvest again.`,
  );
}

/**
 * Opens a folder with our manifest.json; one that is not finished gives the rows it has.
 *
 * @throws when a shard is missing, cut off, of another type or shape, naming file and rows; sha256 is left to `verifyActivations`
 */
export async function openShards(
  path: string,
  manifest: ActivationsManifest,
  pool: FilePool,
): Promise<ActivationSource> {
  if (manifest.rows === 0)
    throw new Error(`${path}: no rows yet: its harvest was stopped before the first shard. Run it again.`);
  const parts: Part[] = [];
  for (const { shard, where, what } of named(path, manifest))
    parts.push({ where, rows: await openShard(pool, manifest, shard, where, what) });
  const { model, tokenizerHash, hook, part, contextLength } = manifest.origin;
  const heldout = await heldoutOf(path, manifest);
  const source = await joinParts({
    format: 'saekit activations',
    path,
    chosen: hook,
    parts,
    files: [],
    meta: {
      model: model.name,
      modelHash: model.hash,
      ...(tokenizerHash ? { tokenizerHash } : {}),
      hook,
      part,
      contextLength,
    },
    pool,
    fingerprint: contentHash(manifest),
  });
  return heldout === undefined ? source : { ...source, heldout };
}

/**
 * Reads every byte of a folder's shards and compares their sha256 with the manifest.
 *
 * @throws naming all shards that differ and their rows; also what opening finds
 */
export async function verifyActivations(
  path: string,
  {
    signal,
    onProgress,
  }: { readonly signal?: AbortSignal; readonly onProgress?: (done: number, total: number) => void } = {},
): Promise<{ readonly files: number; readonly bytes: number }> {
  const manifest = await readManifest(path);
  if (!manifest)
    throw new Error(
      `${path}: no ${MANIFEST_FILE} of saekit in it. Only folders that saekit wrote have checksums.`,
    );
  const total = manifest.shards.reduce((sum, { bytes }) => sum + bytes, 0);
  const pool = createFilePool({ signal });
  try {
    await (await openShards(path, manifest, pool)).close();
    const damaged: string[] = [];
    let done = 0;
    for (const { shard, where, what } of named(path, manifest)) {
      const { source } = await pool.file(where);
      const hash = createHash('sha256');
      for (let at = 0; at < shard.bytes; at += HASH_AT_ONCE) {
        const to = Math.min(shard.bytes, at + HASH_AT_ONCE);
        hash.update(await source.slice(at, to));
        done += to - at;
        onProgress?.(done, total);
      }
      if (hash.digest('hex') !== shard.sha256) damaged.push(what);
    }
    if (damaged.length > 0)
      throw new Error(
        `Checksum differs from ${MANIFEST_FILE}: ${damaged.join(', ')}. ${damaged.length === 1 ? REMEDY : REMEDY.replace('it', 'them')}`,
      );
    return { files: manifest.shards.length, bytes: total };
  } finally {
    await pool.close();
  }
}
