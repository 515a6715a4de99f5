/**
 * Writes rows of one hook as shards (manifest.ts): rows fill a shard in memory, a full shard goes to disk under another name, is renamed,
 * and then the manifest is rewritten. So a stop at any moment leaves whole shards and a manifest that counts them; rows after the last
 * one come again. Rows have numbers, and a writer leaves out those that it already holds: several hooks of one model pass may have come
 * to different shards when they were stopped.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  float32ToBfloat16,
  float32ToFloat16,
  int8Blocks,
  quantizeInt8,
  type TensorInput,
  writeSafetensors,
} from '../../formats/index.ts';
import {
  type ActivationDtype,
  type ActivationsManifest,
  activationsFormat,
  activationsManifestSchema,
  activationsSchemaVersion,
  type HarvestOrigin,
} from '../../shared/activations.ts';
import { sameModel } from '../../shared/model-hash.ts';
import { type Disk, disk, writeAtomic, writeJson } from '../atomic.ts';
import {
  addToSums,
  emptySums,
  HELDOUT_FOLDER,
  joinSums,
  MANIFEST_FILE,
  readManifest,
  STORED_AS,
  shardName,
  statisticsOf,
} from './manifest.ts';

type Resume = NonNullable<ActivationsManifest['resume']>;
/** Where the data stood before a model run, and how many rows that this run kept had been taken before. */
export type HarvestPlace = Pick<Resume, 'cursor' | 'skip'>;

/** n rows of one hook. */
export type HarvestRows = {
  /** [n,D] */
  readonly x: Float32Array;
  readonly tokens: Int32Array;
  readonly documents: Int32Array;
  readonly positions: Int32Array;
};

export type ShardWriter = {
  readonly folder: string;
  /** Rows in whole shards. */
  readonly rows: number;
  readonly finished: boolean;
  /** Where to go on after those; undefined at the beginning. */
  readonly place: HarvestPlace | undefined;
  /**
   * Takes rows with the numbers first, first + 1, …; `place` is that of row `first`. Rows held already are left out.
   *
   * @throws StorageFull on a full disk; BeyondFloat16
   */
  append(first: number, rows: HarvestRows, place: HarvestPlace): Promise<void>;
  /** Writes the last shard and closes the manifest. */
  finish(place: HarvestPlace): Promise<void>;
};

/** A number that float16 cannot hold. `row` is its place among the rows that were given. */
export class BeyondFloat16 extends RangeError {
  override readonly name = 'BeyondFloat16';
  readonly row: number;
  readonly value: number;
  constructor(row: number, dimension: number, value: number) {
    super(
      `Activation ${dimension} is ${value}, beyond float16, which ends at 65,504. Harvest into another folder with --dtype bf16 or f32.`,
    );
    this.row = row;
    this.value = value;
  }
}

/** Bytes per row on disk. */
export function storedBytesPerRow(D: number, dtype: ActivationDtype): number {
  const width = { f32: 4, f16: 2, bf16: 2, int8: 1 }[dtype];
  return D * width + (dtype === 'int8' ? 4 * int8Blocks(D) : 0) + 3 * 4;
}

/** Finite numbers up to here round to a finite float16. */
const LARGEST_F16 = 65_519;

/** One shard in memory, as it will be stored. */
function createShard(rows: number, D: number, dtype: ActivationDtype) {
  const room = rows * D;
  const x =
    dtype === 'f32' ? new Float32Array(room) : dtype === 'int8' ? new Int8Array(room) : new Uint16Array(room);
  const scale = new Float32Array(dtype === 'int8' ? rows * int8Blocks(D) : 0);
  const tokens = new Int32Array(rows);
  const documents = new Int32Array(rows);
  const positions = new Int32Array(rows);
  let count = 0;
  return {
    get count() {
      return count;
    },
    clear() {
      count = 0;
    },
    add(from: HarvestRows): void {
      const n = from.tokens.length;
      const part = x.subarray(count * D, (count + n) * D);
      if (part instanceof Float32Array) part.set(from.x);
      else if (part instanceof Int8Array)
        quantizeInt8(from.x, D, part, scale.subarray(count * int8Blocks(D), (count + n) * int8Blocks(D)));
      else if (dtype === 'f16') float32ToFloat16(from.x, part);
      else float32ToBfloat16(from.x, part);
      tokens.set(from.tokens, count);
      documents.set(from.documents, count);
      positions.set(from.positions, count);
      count += n;
    },
    chunks(): Uint8Array[] {
      const row = (data: Int32Array): TensorInput => ({
        dtype: 'I32',
        shape: [count],
        data: data.subarray(0, count),
      });
      return writeSafetensors({
        x: { dtype: STORED_AS[dtype], shape: [count, D], data: x.subarray(0, count * D) },
        ...(dtype === 'int8'
          ? {
              scale: {
                dtype: 'F32',
                shape: [count, int8Blocks(D)],
                data: scale.subarray(0, count * int8Blocks(D)),
              },
            }
          : {}),
        tokens: row(tokens),
        documents: row(documents),
        positions: row(positions),
      });
    },
  };
}

/** Settings in which a folder and a new harvest differ. Where files lie and what the model folder is called does not matter. */
function differences(a: HarvestOrigin, b: HarvestOrigin): string[] {
  const comparable = ({ model: _, data, ...rest }: HarvestOrigin): Record<string, unknown> => ({
    ...rest,
    data: data.map(({ bytes, sha256 }) => [bytes, sha256]),
  });
  const [left, right] = [comparable(a), comparable(b)];
  const others = [...new Set([...Object.keys(left), ...Object.keys(right)])].filter(
    (name) => JSON.stringify(left[name]) !== JSON.stringify(right[name]),
  );
  return sameModel(a.model.hash, b.model.hash) ? others : ['model', ...others];
}

/**
 * Opens a folder for writing: a new one, or one that an earlier harvest of the same origin was stopped in. The caller holds its lock.
 *
 * @throws when the folder holds something else, or activations of another origin (names what differs)
 */
export async function createShardWriter(
  folder: string,
  origin: HarvestOrigin,
  { saekit, on = disk }: { readonly saekit: string; readonly on?: Disk },
): Promise<ShardWriter> {
  const { D, dtype, rowsPerShard } = origin;
  await mkdir(folder, { recursive: true });
  const names = (await readdir(folder)).filter((name) => !name.startsWith('.'));
  const earlier = await readManifest(folder);
  const isOurs = (name: string): boolean =>
    name === HELDOUT_FOLDER || /^(shard-\d+\.safetensors|manifest\.json)(\.tmp-.*)?$/.test(name);
  if (!earlier && !names.every(isOurs))
    throw new Error(
      `${folder} is not empty (${names.slice(0, 4).join(', ')}) and holds no activations. Choose another folder with --out.`,
    );
  const differ = earlier ? differences(earlier.origin, origin) : [];
  if (differ.length > 0)
    throw new Error(
      `${folder} holds activations of another harvest (different ${differ.join(', ')}). Choose another folder with --out, or repeat that command to go on with it.`,
    );
  // What a kill left half written.
  for (const name of names) if (/\.tmp-\d+-\d+$/.test(name)) await rm(join(folder, name), { force: true });

  let manifest: ActivationsManifest = earlier ?? {
    format: activationsFormat,
    schemaVersion: activationsSchemaVersion,
    finished: false,
    origin,
    rows: 0,
    shards: [],
    saekit,
  };
  let sums = manifest.resume?.sums ?? emptySums(D);
  let shardSums = emptySums(D);
  /** Made for the first row, let go after the last: a harvest opens all its writers first, and fills them one part after the other. */
  let shard: ReturnType<typeof createShard> | undefined;

  async function flush(place: HarvestPlace, finished: boolean): Promise<void> {
    const { rows: before, shards } = manifest;
    if (shard && shard.count > 0) {
      const rows = before + shard.count;
      const file = shardName(shards.length);
      const chunks = shard.chunks();
      const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
      const hash = createHash('sha256');
      for (const chunk of chunks) hash.update(chunk);
      await writeAtomic(join(folder, file), chunks, { byteLength: bytes, what: file, on });
      sums = joinSums(sums, shardSums);
      shardSums = emptySums(D);
      manifest = {
        ...manifest,
        rows,
        shards: [...shards, { file, rows: shard.count, bytes, sha256: hash.digest('hex') }],
        statistics: statisticsOf(sums, rows),
      };
      shard.clear();
    }
    const { resume: _, ...rest } = manifest;
    manifest = { ...rest, finished, ...(finished ? {} : { resume: { ...place, sums } }) };
    // Parsed for one order of keys: after a stop and without one the bytes are the same.
    const value = activationsManifestSchema.parse(manifest);
    await writeJson(join(folder, MANIFEST_FILE), value, MANIFEST_FILE, on);
    if (finished) shard = undefined;
  }

  return {
    folder,
    get rows() {
      return manifest.rows;
    },
    get finished() {
      return manifest.finished;
    },
    get place() {
      return manifest.resume && { cursor: manifest.resume.cursor, skip: manifest.resume.skip };
    },
    async append(first, { x, tokens, documents, positions }, { cursor, skip }) {
      const n = tokens.length;
      shard ??= createShard(Math.min(rowsPerShard, origin.tokens), D, dtype);
      let at = Math.max(0, manifest.rows + shard.count - first);
      while (at < n) {
        const to = Math.min(n, at + rowsPerShard - shard.count);
        const part = x.subarray(at * D, to * D);
        addToSums(shardSums, part, D);
        if (dtype === 'f16' && shardSums.largest > LARGEST_F16) {
          const i = part.findIndex((v) => Math.abs(v) > LARGEST_F16);
          throw new BeyondFloat16(at + Math.floor(i / D), i % D, part[i]!);
        }
        shard.add({
          x: part,
          tokens: tokens.subarray(at, to),
          documents: documents.subarray(at, to),
          positions: positions.subarray(at, to),
        });
        at = to;
        if (shard.count === rowsPerShard) await flush({ cursor, skip: skip + at }, false);
      }
    },
    finish: (place) => flush(place, true),
  };
}
