/**
 * Activations of one hook on disk:
 *
 *     manifest.json             origin, shards with sha256, statistics (shared/activations.ts)
 *     shard-00000.safetensors   x [rows,D] F32, F16, BF16, or I8 with scale [rows, ceil(D / 64)] F32 (formats/int8-blocks.ts)
 *                               tokens, documents, positions [rows] I32: token id, document in the data, position in its sequence
 *     heldout/                  the same for held-out documents: who opens the folder gets training rows only
 *
 * A shard is there whole or not at all, and only the manifest says that it counts. Several hooks are one such folder each, side by side.
 */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type ActivationDtype,
  type ActivationStatistics,
  type ActivationSums,
  type ActivationsManifest,
  activationsFormat,
  activationsManifestSchema,
} from '../../shared/activations.ts';
import { migrate } from '../../shared/migrate.ts';

export const MANIFEST_FILE = 'manifest.json';
/** Folder of the held-out rows, inside that of the training rows. */
export const HELDOUT_FOLDER = 'heldout';
/** For whoever meets a damaged folder. */
export const REMEDY = 'Copy it again from where it was made, or remove the folder and harvest again.';
export const shardName = (index: number): string => `shard-${String(index).padStart(5, '0')}.safetensors`;

/** What a dtype is called in safetensors. */
export const STORED_AS = { f32: 'F32', f16: 'F16', bf16: 'BF16', int8: 'I8' } as const satisfies Record<
  ActivationDtype,
  string
>;

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/**
 * manifest.json of a folder; undefined when there is none, or one of another program.
 *
 * @throws when it is ours and damaged, or of a newer schema version
 */
export async function readManifest(folder: string): Promise<ActivationsManifest | undefined> {
  const file = join(folder, MANIFEST_FILE);
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  let value: { format?: unknown } | null;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const ours = text.includes(activationsFormat) || (await exists(join(folder, shardName(0))));
    if (!ours) return undefined;
    throw new Error(`${file}: ${(error as Error).message}: it was cut off or changed. ${REMEDY}`);
  }
  if (value?.format !== activationsFormat) return undefined;
  const result = activationsManifestSchema.safeParse(migrate('activations', value, file));
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new Error(`${file}: ${issue?.path.join('.') || 'the whole'}: ${issue?.message}. ${REMEDY}`);
}

/** Identifies the rows: hashes of all shards. */
export const contentHash = ({ shards }: ActivationsManifest): string =>
  createHash('sha256')
    .update(shards.map(({ sha256 }) => sha256).join('\n'))
    .digest('hex');

export const emptySums = (D: number): ActivationSums => ({
  sum: new Array<number>(D).fill(0),
  squares: new Array<number>(D).fill(0),
  norm: 0,
  logNorm: 0,
  nonZero: 0,
  largest: 0,
});

/** Adds rows x [rows,D]; `largest` takes magnitudes. */
export function addToSums(sums: ActivationSums, x: Float32Array, D: number): void {
  const { sum, squares } = sums;
  for (let row = 0; row < x.length; row += D) {
    let square = 0;
    for (let d = 0; d < D; d++) {
      const v = x[row + d]!;
      sum[d]! += v;
      squares[d]! += v * v;
      square += v * v;
      if (v > sums.largest) sums.largest = v;
      else if (-v > sums.largest) sums.largest = -v;
    }
    if (square === 0) continue;
    sums.norm += Math.sqrt(square);
    sums.logNorm += Math.log(square) / 2;
    sums.nonZero++;
  }
}

/** `a` with `b` added. */
export const joinSums = (a: ActivationSums, b: ActivationSums): ActivationSums => ({
  sum: a.sum.map((v, d) => v + b.sum[d]!),
  squares: a.squares.map((v, d) => v + b.squares[d]!),
  norm: a.norm + b.norm,
  logNorm: a.logNorm + b.logNorm,
  nonZero: a.nonZero + b.nonZero,
  largest: Math.max(a.largest, b.largest),
});

export function statisticsOf(
  { sum, squares, norm, logNorm, nonZero, largest }: ActivationSums,
  count: number,
): ActivationStatistics {
  const mean = sum.map((v) => v / count);
  return {
    count,
    mean,
    variance: squares.map((v, d) => Math.max(0, v / count - mean[d]! ** 2)),
    meanNorm: norm / count,
    geometricNorm: nonZero > 0 ? Math.exp(logNorm / nonZero) : 0,
    largest,
  };
}
