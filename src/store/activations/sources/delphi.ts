/**
 * delphi's cache of latents: `{hook}/{first}_{last}.safetensors`, one file per range of latents, and config.json beside them.
 *
 * It holds what an SAE made of a text, not what the model had: `openLatentCache` gives it as it is, sparse, for whoever looks at latents.
 * As `ActivationSource` its rows are dense: row s T + t is z [F] at position t of sequence s, zeros where nothing is stored.
 */
import { basename, dirname, join } from 'node:path';
import {
  ENTRIES_AT_ONCE,
  type LatentEntries,
  type LatentSplit,
  openLatentSplit,
  type RowReader,
  readSafetensors,
} from '../../../formats/index.ts';
import type { ActivationMeta, ActivationSource } from '../types.ts';
import {
  createFilePool,
  type FilePool,
  fingerprintOf,
  listFolder,
  readJsonBeside,
  type StoredFile,
} from './files.ts';
import { joinParts } from './joined.ts';

/** Dense rows are F floats each, nearly all of them 0: a batch of 4,096 rows at this width is 128 MiB. */
export const MAX_DENSE_LATENTS = 8192;

/** Where each of them begins is kept in memory. */
const MAX_SEQUENCES = 2 ** 26;

const SPLIT = /^(\d+)_(\d+)\.safetensors$/;
export const isSplitName = (name: string): boolean => SPLIT.test(name);

/** Sparse latents over S sequences of T positions, the latents in ranges. */
export type LatentCache = {
  readonly name: string;
  /** Latents of the SAE, as far as the cache goes. */
  readonly F: number;
  readonly S: number;
  readonly T: number;
  /** Latents [first, end) of each file, ascending. */
  readonly splits: readonly {
    readonly file: string;
    readonly first: number;
    readonly end: number;
    readonly count: number;
  }[];
  readonly meta: ActivationMeta;
  readonly fingerprint: string;
  /** What latents [first, end) did, in blocks: file after file, in each by sequence and position. */
  entries(range?: { first: number; end: number }): AsyncGenerator<LatentEntries>;
  /** What split `s` holds for sequences [from, to). */
  sequences(s: number, from: number, to: number): Promise<LatentEntries>;
  /** Token ids of positions [start, start + count) of the flat [S T], where they are stored. */
  readonly tokens: ((start: number, count: number) => Promise<Int32Array>) | undefined;
  close(): Promise<void>;
};

type Checked = {
  readonly split: LatentSplit;
  readonly end: number;
  /** Where the entries of each sequence begin, and at last where all end. */
  readonly begins: readonly number[];
  readonly positions: number;
};

/** Goes through a file once: it must be sorted and within its ranges, or blocks of rows could not be found. */
async function check(split: LatentSplit, announced: number | undefined): Promise<Checked> {
  const [S, T] = split.tokenShape ?? [undefined, undefined];
  const begins: number[] = [];
  let [lastSequence, lastPosition, lastLatent] = [-1, -1, -1];
  let end = split.first;
  let positions = 0;
  const fail = (i: number, what: string): never => {
    throw new Error(`${split.name}, entry ${i}: ${what}`);
  };
  for (let from = 0; from < split.count; from += ENTRIES_AT_ONCE) {
    const { sequence, position, latent } = await split.entries(
      from,
      Math.min(split.count, from + ENTRIES_AT_ONCE),
    );
    for (let i = 0; i < sequence.length; i++) {
      const [q, t, z] = [sequence[i]!, position[i]!, latent[i]!];
      if (
        q < lastSequence ||
        (q === lastSequence && (t < lastPosition || (t === lastPosition && z <= lastLatent)))
      )
        fail(from + i, 'not sorted by sequence, position and latent. Write the cache again with delphi.');
      if (q < 0 || q >= (S ?? MAX_SEQUENCES))
        fail(
          from + i,
          `sequence ${q}, but ${S === undefined ? `at most ${MAX_SEQUENCES} are read` : `tokens are stored for ${S}`}`,
        );
      if (t < 0 || (T !== undefined && t >= T))
        fail(from + i, `position ${t}, but sequences have ${T} tokens`);
      if (z < split.first || (announced !== undefined && z >= announced))
        fail(from + i, `latent ${z}, but the file is named for ${split.first} to ${announced! - 1}`);
      while (begins.length <= q) begins.push(from + i);
      positions = Math.max(positions, t + 1);
      end = Math.max(end, z + 1);
      [lastSequence, lastPosition, lastLatent] = [q, t, z];
    }
  }
  return { split, end: announced ?? end, begins, positions: T ?? positions };
}

/**
 * Opens a folder of delphi's, or one file of it, without making anything dense. All entries are gone through once.
 *
 * @throws when files are damaged, unsorted or contradict each other; file and entry are named
 * @example
 * const cache = await openLatentCache('results/latents/layers.6');
 * for await (const { latent, value } of cache.entries({ first: 120, end: 121 })) …
 */
export async function openLatentCache(
  path: string,
  { signal }: { readonly signal?: AbortSignal } = {},
): Promise<LatentCache> {
  const pool = createFilePool({ signal });
  try {
    const names =
      isSplitName(basename(path)) || path.endsWith('.safetensors')
        ? [path]
        : (await listFolder(path)).files.filter(isSplitName).map((name) => join(path, name));
    return await latentCache(path, await Promise.all(names.map(pool.file)), pool);
  } catch (error) {
    await pool.close();
    throw error;
  }
}

async function latentCache(path: string, files: readonly StoredFile[], pool: FilePool): Promise<LatentCache> {
  const checked: Checked[] = [];
  for (const { path: where, name, source } of files) {
    const range = SPLIT.exec(name);
    const split = openLatentSplit(await readSafetensors(source, where), where, range ? Number(range[1]) : 0);
    checked.push(await check(split, range ? Number(range[2]) + 1 : undefined));
  }
  checked.sort((a, b) => a.split.first - b.split.first);
  const first = checked[0];
  if (!first) throw new Error(`${path}: no files such as 0_6552.safetensors. Name the folder of one hook.`);
  for (const [i, { split }] of checked.entries()) {
    const before = checked[i - 1];
    if (before && before.end > split.first)
      throw new Error(
        `${split.name}: begins with latent ${split.first}, but ${before.split.name} goes up to ${before.end - 1}`,
      );
    const [a, b] = [first.split.tokenShape, split.tokenShape];
    if (a?.join() !== b?.join())
      throw new Error(
        `${split.name}: tokens ${b ? `[${b.join(', ')}]` : 'missing'}, but ${first.split.name} has ${a ? `[${a.join(', ')}]` : 'none'}. The files belong to different caches.`,
      );
  }
  const config = await readJsonBeside(pool, join(dirname(files[0]!.path), 'config.json'));
  const contextLength = config?.cache_ctx_len ?? config?.ctx_len;
  const T =
    first.split.tokenShape?.[1] ??
    (typeof contextLength === 'number'
      ? contextLength
      : Math.max(...checked.map(({ positions }) => positions)));
  const S = first.split.tokenShape?.[0] ?? Math.max(...checked.map(({ begins }) => begins.length));
  const bounds = ({ begins, split }: Checked, from: number, to: number): [number, number] => [
    begins[from] ?? split.count,
    begins[to] ?? split.count,
  ];
  return {
    name: path,
    F: checked.at(-1)!.end,
    S,
    T,
    splits: checked.map(({ split, end }) => ({
      file: split.name,
      first: split.first,
      end,
      count: split.count,
    })),
    meta: {
      hook: basename(dirname(files[0]!.path)),
      ...(typeof config?.model_name === 'string' ? { model: config.model_name } : {}),
      contextLength: T,
    },
    fingerprint: await fingerprintOf(files, 'delphi'),
    async *entries({ first: low, end: high } = { first: 0, end: Number.POSITIVE_INFINITY }) {
      for (const { split, end } of checked) {
        if (end <= low || split.first >= high) continue;
        for (let from = 0; from < split.count; from += ENTRIES_AT_ONCE) {
          const block = await split.entries(from, Math.min(split.count, from + ENTRIES_AT_ONCE));
          yield low <= split.first && high >= end ? block : only(block, low, high);
        }
      }
    },
    sequences: (s, from, to) => checked[s]!.split.entries(...bounds(checked[s]!, from, to)),
    tokens: first.split.tokenShape && ((start, count) => first.split.tokens(start, count)),
    close: () => pool.close(),
  };
}

/** The entries of latents [low, high). */
function only(
  { sequence, position, latent, value }: LatentEntries,
  low: number,
  high: number,
): LatentEntries {
  const keep = (_: number, i: number): boolean => latent[i]! >= low && latent[i]! < high;
  return {
    sequence: sequence.filter(keep),
    position: position.filter(keep),
    latent: latent.filter(keep),
    value: value.filter(keep),
  };
}

/** Dense rows z [F] of a cache. */
function denseRows(cache: LatentCache, first: number): RowReader {
  const { S, T } = cache;
  const D = cache.F - first;
  return {
    rows: S * T,
    D,
    stored: 'sparse latents',
    async read(start, count, into) {
      into.fill(0, 0, count * D);
      const [from, to] = [Math.floor(start / T), Math.ceil((start + count) / T)];
      for (const s of cache.splits.keys()) {
        const { sequence, position, latent, value } = await cache.sequences(s, from, to);
        for (let i = 0; i < value.length; i++) {
          const row = sequence[i]! * T + position[i]! - start;
          if (row >= 0 && row < count) into[row * D + latent[i]! - first] = value[i]!;
        }
      }
    },
    ...(cache.tokens && { readTokens: cache.tokens }),
  };
}

/** Opens a cache of latents as dense rows. `wanted`, `{first}_{last}`, takes one file of latents only. */
export async function openDelphi(
  path: string,
  all: readonly StoredFile[],
  wanted: string | undefined,
  pool: FilePool,
): Promise<ActivationSource> {
  const files = wanted === undefined ? all : all.filter(({ name }) => name === `${wanted}.safetensors`);
  if (files.length === 0)
    throw new Error(
      `${path}: no latents ${wanted}; it has ${all.map(({ name }) => name.replace('.safetensors', '')).join(', ')}`,
    );
  const cache = await latentCache(path, files, pool);
  const { first } = cache.splits[0]!;
  const D = cache.F - first;
  for (const [i, { file, first: begin }] of cache.splits.entries())
    if (i > 0 && begin !== cache.splits[i - 1]!.end)
      throw new Error(
        `${file}: latents ${cache.splits[i - 1]!.end} to ${begin - 1} are missing before it. Copy the other files, or name one: ${path}#${files[0]!.name.replace('.safetensors', '')}`,
      );
  if (D > MAX_DENSE_LATENTS) {
    const small = cache.splits.find((split) => split.end - split.first <= MAX_DENSE_LATENTS);
    const range = small && basename(small.file).replace('.safetensors', '');
    throw new Error(
      `${path}: a delphi cache of ${D} latents, what an SAE made of a text, and not activations of a model. As dense rows, nearly all zeros, at most ${MAX_DENSE_LATENTS} latents are taken.${range && files.length > 1 ? ` One file of them fits: ${path}#${range}.` : ''} To train on what the model had, store that: saekit harvest.`,
    );
  }
  return joinParts({
    format: 'delphi latents',
    path,
    chosen: wanted ?? '',
    parts: [{ where: path, rows: denseRows(cache, first) }],
    files,
    meta: cache.meta,
    pool,
  });
}
