/**
 * Which format files have, ours (a folder with our manifest.json) or another program's. Their first bytes decide, not their endings; for folders also the names.
 *
 *     PATH         a file, a folder of files of one kind, or a folder of one folder per hook
 *     PATH#name    the tensor, array, column or hook, where several could be meant
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isLatentCache, readSafetensors, readZip } from '../../../formats/index.ts';
import { didYouMean } from '../../../shared/nearest.ts';
import { HELDOUT_FOLDER, readManifest } from '../manifest.ts';
import { openShards } from '../shards.ts';
import type { ActivationSource } from '../types.ts';
import { openArrow } from './arrow.ts';
import { isSplitName, openDelphi } from './delphi.ts';
import { createFilePool, type FilePool, listFolder, noSuchPath, type StoredFile } from './files.ts';
import { NoActivations } from './joined.ts';
import { isChunkName, openLlamascopium } from './llamascopium.ts';
import { openNpy, openNpz } from './npy.ts';
import { openParquet } from './parquet.ts';
import { openSafetensors } from './safetensors.ts';

const KNOWN =
  'Known are safetensors, .npy, .npz, Parquet, Arrow (SAELens caches and other data sets saved by `datasets`), Llamascopium chunks, delphi latents and folders of `saekit harvest`';

type Open = (
  path: string,
  files: readonly StoredFile[],
  wanted: string | undefined,
  pool: FilePool,
) => Promise<ActivationSource>;
const OPEN: Readonly<Record<string, Open>> = {
  safetensors: openSomeSafetensors,
  npy: openNpy,
  npz: openNpz,
  Parquet: openParquet,
  Arrow: openArrow,
};

const HOW_TO_CONVERT: Readonly<Record<string, (path: string) => string>> = {
  PyTorch: (path) =>
    `a PyTorch file is a Python pickle, which can run code. Save it as safetensors, in Python:\n    import torch; from safetensors.torch import save_file\n    save_file({"activations": torch.load(${JSON.stringify(path)}, map_location="cpu").contiguous()}, ${JSON.stringify(path.replace(/\.[a-z]+$/, '.safetensors'))})`,
  HDF5: () => 'HDF5 is not read. Save the data set with np.save("x.npy", f["name"][:]).',
  zip: () => 'a zip archive, but no .npz: its entries are not .npy arrays. Unpack it.',
};

/** What a file is by its first bytes; undefined for what is no data (JSON, text, …). */
async function kindOf({ source, path }: StoredFile): Promise<string | undefined> {
  const head = await source.slice(0, Math.min(16, source.byteLength));
  const text = String.fromCharCode(...head);
  const starts = (magic: string): boolean => text.startsWith(magic);
  if (starts('\x93NUMPY')) return 'npy';
  if (starts('PAR1')) return 'Parquet';
  if (starts('ARROW1') || starts('\xff\xff\xff\xff')) return 'Arrow';
  if (starts('\x89HDF')) return 'HDF5';
  if (starts('PK\x03\x04') || starts('PK\x05\x06')) {
    const names = (await readZip(source, path)).map(({ name }) => name);
    if (names.some((name) => name.endsWith('.npy'))) return 'npz';
    return names.some((name) => name.endsWith('data.pkl')) ? 'PyTorch' : 'zip';
  }
  if (head[0] === 0x80 && head[1]! >= 2 && head[1]! <= 5) return 'PyTorch';
  // A header of less than 4 GiB, and JSON.
  if (text.slice(4, 9) === '\0\0\0\0{') return 'safetensors';
  // Damaged in its first bytes, a file is still meant to be what its name says.
  return endingKind(path);
}

const endingKind = (path: string): string | undefined =>
  ({
    safetensors: 'safetensors',
    npy: 'npy',
    npz: 'npz',
    parquet: 'Parquet',
    arrow: 'Arrow',
    pt: 'PyTorch',
    pth: 'PyTorch',
  })[/\.([a-z]+)$/.exec(path)?.[1] ?? ''];

/** safetensors by content: chunks and latents have names and tensors of their own. */
async function openSomeSafetensors(
  path: string,
  files: readonly StoredFile[],
  wanted: string | undefined,
  pool: FilePool,
): Promise<ActivationSource> {
  const first = await readSafetensors(files[0]!.source, files[0]!.path);
  if (isLatentCache(first)) {
    if (files.length > 1 && !files.every(({ name }) => isSplitName(name)))
      throw new Error(
        `${path}: delphi latents of several hooks: ${files.map(({ name }) => name).join(', ')}. Name one of the files.`,
      );
    return openDelphi(path, files, wanted, pool);
  }
  if (files.every(({ name }) => isChunkName(name)) && first.tensors.has('activation') && wanted === undefined)
    return openLlamascopium(path, files, pool);
  return openSafetensors(path, files, wanted, pool);
}

async function dataFiles(
  folder: string,
  names: readonly string[],
  pool: FilePool,
): Promise<Map<string, StoredFile[]>> {
  const kinds = new Map<string, StoredFile[]>();
  for (const name of names) {
    const file = await pool.file(join(folder, name));
    const kind = await kindOf(file);
    if (!kind) continue;
    const list = kinds.get(kind);
    if (list) list.push(file);
    else kinds.set(kind, [file]);
  }
  return kinds;
}

const count = (n: number, what: string): string => `${n} ${what} file${n === 1 ? '' : 's'}`;

async function openFolder(
  path: string,
  wanted: string | undefined,
  pool: FilePool,
  depth = 0,
): Promise<ActivationSource> {
  const manifest = await readManifest(path);
  if (manifest) {
    if (wanted === HELDOUT_FOLDER) return openFolder(join(path, HELDOUT_FOLDER), undefined, pool, depth);
    if (wanted !== undefined && wanted !== manifest.origin.hook)
      throw new Error(`${path}: no hook ${wanted}; it holds one, ${manifest.origin.hook}`);
    return openShards(path, manifest, pool);
  }
  const { files, folders } = await listFolder(path);
  const kinds = await dataFiles(path, files, pool);
  const [only] = kinds;
  if (kinds.size > 1)
    throw new Error(
      `${path}: holds ${[...kinds].map(([kind, list]) => count(list.length, kind)).join(' and ')}; which of them are the activations? Name one file, or move the others elsewhere.`,
    );
  if (only) return openKind(path, only[0], only[1], wanted, pool);
  const found =
    files.length + folders.length === 0
      ? 'it is empty'
      : `it holds ${[...folders.map((name) => `${name}/`), ...files].slice(0, 8).join(', ')}`;
  if (folders.length === 0 || depth > 0)
    throw new NoActivations(`${path}: no activations; ${found}. ${KNOWN}.`);
  // One folder per hook, or per part of a data set.
  const slash =
    wanted === undefined
      ? undefined
      : folders.find((name) => wanted === name || wanted.startsWith(`${name}#`));
  if (slash !== undefined)
    return openFolder(join(path, slash), wanted!.slice(slash.length + 1) || undefined, pool, depth + 1);
  if (folders.length === 1) return openFolder(join(path, folders[0]!), wanted, pool, depth + 1);
  throw new Error(
    wanted === undefined
      ? `${path}: ${folders.length} folders, ${folders.slice(0, 12).join(', ')}. Name one: ${path}#${folders[0]}`
      : `${path}: no folder ${wanted}.${didYouMean(wanted, folders)} It has ${folders.slice(0, 12).join(', ')}.`,
  );
}

function openKind(
  path: string,
  kind: string,
  files: readonly StoredFile[],
  wanted: string | undefined,
  pool: FilePool,
): Promise<ActivationSource> {
  const convert = HOW_TO_CONVERT[kind];
  if (convert) throw new Error(`${files[0]!.path}: ${convert(files[0]!.path)}`);
  return OPEN[kind]!(path, files, wanted, pool);
}

/** `PATH#name` taken apart: the longest PATH that exists, since a name may have a # in it. */
async function selector(path: string): Promise<{ path: string; wanted: string | undefined }> {
  for (let end = path.length; end > 0; end = path.lastIndexOf('#', end - 1)) {
    const exists = await stat(path.slice(0, end)).catch(() => undefined);
    if (exists) return { path: path.slice(0, end), wanted: path.slice(end + 1) || undefined };
  }
  return { path: path.replace(/#.*/, ''), wanted: undefined };
}

/**
 * Opens stored activations: folders of `saekit harvest`, and what other programs wrote.
 *
 * @param location PATH or PATH#name
 * @throws when nothing is there, when it is no known format (saying what was found), when several things could be meant, and when files
 *   are damaged or contradict each other
 * @example
 * const source = await openActivations('vit/patches.npy');
 */
export async function openActivations(
  location: string,
  { signal }: { readonly signal?: AbortSignal } = {},
): Promise<ActivationSource> {
  const { path, wanted } = await selector(location);
  const info = await stat(path).catch(() => undefined);
  if (!info) throw await noSuchPath(path);
  const pool = createFilePool({ signal });
  try {
    if (info.isDirectory()) return await openFolder(path, wanted, pool);
    const file = await pool.file(path);
    if (info.size === 0) throw new NoActivations(`${path}: an empty file`);
    const kind = await kindOf(file);
    if (!kind)
      throw new NoActivations(
        `${path}: neither its first bytes nor its name are of a known format. ${KNOWN}.`,
      );
    return await openKind(path, kind, [file], wanted, pool);
  } catch (error) {
    await pool.close();
    signal?.throwIfAborted();
    throw error;
  }
}
