/** Which files a list of paths means. */
import { readdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { ByteSource } from '../../platform/types.ts';
import { nearestNames } from '../../shared/nearest.ts';

export type DataFile = {
  /** Where it lies, or what to call it when it is not on this disk. */
  readonly path: string;
  readonly kind: 'text' | 'jsonl' | 'parquet' | 'csv' | 'tsv';
  readonly gzip: boolean;
  /** Parquet that is not on this disk: its bytes by range, and its sha256 where that is known. */
  readonly source?: ByteSource & { readonly sha256?: string };
  /** Column that holds the text, where the argument says so; wins over the text field of the command. */
  readonly column?: string;
  /** Of a file from the hub: `org/name@commit/path`. */
  readonly origin?: string;
};

/**
 * What a data argument means that is no path here: files on this disk (a cache), or Parquet with a `source`. Undefined when it is
 * nothing that the resolver knows; it throws when it knows the form and finds nothing.
 */
export type ResolveData = (
  argument: string,
  options: { readonly signal?: AbortSignal },
) => Promise<readonly DataFile[] | undefined>;

export type FindOptions = { readonly resolve?: ResolveData; readonly signal?: AbortSignal };

/** Endings that are taken from a folder; a file named outright may have any ending and is read as text. */
export const KNOWN = /\.((txt|md|text|jsonl|ndjson|csv|tsv)(\.gz)?|parquet)$/i;
const KINDS: readonly [RegExp, DataFile['kind']][] = [
  [/\.(jsonl|ndjson)$/i, 'jsonl'],
  [/\.parquet$/i, 'parquet'],
  [/\.csv$/i, 'csv'],
  [/\.tsv$/i, 'tsv'],
];

export function kindOf(path: string): DataFile {
  const gzip = /\.gz$/i.test(path);
  const plain = gzip ? path.slice(0, -3) : path;
  if (/\.json$/i.test(plain)) {
    throw new Error(
      `${path}: one JSON file is not a list of documents. Write one object per line and name it .jsonl.`,
    );
  }
  const kind = KINDS.find(([ending]) => ending.test(plain))?.[1] ?? 'text';
  if (kind === 'parquet' && gzip)
    throw new Error(`${path}: Parquet is compressed inside and read by range. Unpack it with gunzip.`);
  return { path, kind, gzip };
}

async function missing(path: string): Promise<Error> {
  const folder = dirname(path);
  const names = await readdir(folder).catch(() => undefined);
  if (!names) return new Error(`${path}: no such file, and no folder ${folder} either`);
  const near = nearestNames(basename(path), names);
  const hint =
    near.length > 0
      ? ` Did you mean ${near.map((name) => join(folder, name)).join(' or ')}?`
      : ` The folder has ${names.length === 0 ? 'no files' : `${names.slice(0, 5).join(', ')}${names.length > 5 ? `, and ${names.length - 5} more` : ''}`}.`;
  return new Error(`${path}: no such file or folder.${hint}`);
}

async function walk(folder: string, seen: Set<string>, found: string[], others: string[]): Promise<void> {
  const real = await realpath(folder);
  if (seen.has(real)) return;
  seen.add(real);
  const names = (await readdir(folder)).filter((name) => !name.startsWith('.')).sort();
  for (const name of names) {
    const path = join(folder, name);
    const info = await stat(path).catch(() => undefined);
    if (info?.isDirectory()) await walk(path, seen, found, others);
    else if (info?.isFile()) (KNOWN.test(name) ? found : others).push(path);
  }
}

/**
 * The data files that paths of files and folders mean, folders searched to the bottom, in a stable order, each file once.
 *
 * @throws when a path is missing (with the nearest names) or a folder holds no data file (naming what it holds)
 */
export async function findDataFiles(
  paths: readonly string[],
  { resolve, signal }: FindOptions = {},
): Promise<DataFile[]> {
  if (paths.length === 0)
    throw new Error('No data was named. Give text, JSONL, Parquet or CSV files, or folders that hold them.');
  const files: DataFile[] = [];
  for (const path of paths) {
    const info = await stat(path).catch(() => undefined);
    const field = info ? undefined : /^(.+)#([^#/\\]+)$/.exec(path);
    if (field && (await stat(field[1]!).catch(() => undefined))) {
      for (const file of await findDataFiles([field[1]!])) files.push({ ...file, column: field[2]! });
      continue;
    }
    if (!info) {
      const resolved = await resolve?.(path, signal ? { signal } : {});
      if (!resolved) throw await missing(path);
      files.push(...resolved);
      continue;
    }
    if (!info.isDirectory()) {
      files.push(kindOf(path));
      continue;
    }
    const found: string[] = [];
    const others: string[] = [];
    await walk(path, new Set(), found, others);
    if (found.length === 0) {
      const seen =
        others.length > 0
          ? `it holds ${others
              .slice(0, 5)
              .map((p) => basename(p))
              .join(', ')}`
          : 'it is empty';
      throw new Error(
        `${path}: no data files; ${seen}. Taken from a folder are .txt, .md, .jsonl, .ndjson, .csv and .tsv, each also as .gz, and .parquet.`,
      );
    }
    files.push(...found.map(kindOf));
  }
  const unique = new Map<string, DataFile>();
  for (const file of files) {
    const real = file.source ? file.path : await realpath(file.path);
    if (!unique.has(real)) unique.set(real, file);
  }
  return [...unique.values()];
}

export type WeightedPath = { readonly path: string; readonly weight: number };

/**
 * Reads `PATH=WEIGHT` of every argument: a mixture when all have a weight, undefined when none has. A file that is really called so wins.
 *
 * @throws when only some have a weight, or a weight is not positive
 */
export async function weightedPaths(data: readonly string[]): Promise<WeightedPath[] | undefined> {
  const found: (WeightedPath | undefined)[] = [];
  for (const argument of data) {
    const match = /^(.+)=(\d*\.?\d+)$/.exec(argument);
    const exists = await stat(argument).then(
      () => true,
      () => false,
    );
    found.push(match && !exists ? { path: match[1]!, weight: Number(match[2]) } : undefined);
  }
  const weighted = found.filter((item) => item !== undefined);
  if (weighted.length === 0) return undefined;
  if (weighted.length < data.length)
    throw new Error(
      `Some data has a weight and some has none: ${data.join(' ')}. Give every path one, such as a.jsonl=0.8 b/=0.2.`,
    );
  const bad = weighted.find(({ weight }) => weight <= 0);
  if (bad) throw new Error(`${bad.path} has the weight ${bad.weight}; expected more than 0. Leave it out.`);
  return weighted;
}
