/** What is in activations on disk: folders of `saekit harvest`, and files of other programs. */
import { allFinite } from '../harvest/non-finite.ts';
import {
  type ActivationMeta,
  type ActivationSource,
  addToSums,
  emptySums,
  type HarvestFolder,
  harvestFolders,
  lockOwner,
  openActivations,
  statisticsOf,
  verifyActivations,
} from '../store/index.ts';
import { withResources } from './resources.ts';

export type HarvestInspection = {
  /** Of one hook or of several; held-out rows after the training rows that they belong to. */
  readonly folders: readonly HarvestFolder[];
  /** A process that is writing now. */
  readonly writer: number | undefined;
  /** With `verify`: what was read and compared. */
  readonly verified: { readonly files: number; readonly bytes: number } | undefined;
};

export type ActivationsInspection = {
  readonly format: string;
  readonly D: number;
  readonly rows: number;
  readonly meta: ActivationMeta;
  /** Whether the token ids are there. */
  readonly tokens: boolean;
  /** Of rows spread over all of them. */
  readonly sample: {
    readonly rows: number;
    readonly notFinite: number;
    /** Of the finite ones. */
    readonly meanNorm: number;
    readonly largest: number;
  };
};

const SAMPLE_BLOCKS = 32;
const BLOCK_ROWS = 128;

/** @returns undefined when nothing of `saekit harvest` is there. Throws what opening the folders and comparing checksums finds */
export async function inspectHarvest(
  path: string,
  {
    verify = false,
    signal,
    onVerify = () => {},
  }: {
    readonly verify?: boolean;
    readonly signal?: AbortSignal;
    readonly onVerify?: (done: number, total: number) => void;
  },
): Promise<HarvestInspection | undefined> {
  const folders = await harvestFolders(path);
  if (folders.length === 0) return undefined;
  const stored = folders.filter(({ manifest }) => manifest.rows > 0);
  for (const { folder } of stored) await (await openActivations(folder)).close();
  let verified: HarvestInspection['verified'];
  if (verify) {
    const sizes = stored.map(({ manifest }) => manifest.shards.reduce((sum, { bytes }) => sum + bytes, 0));
    const total = sizes.reduce((a, b) => a + b, 0);
    let [files, bytes] = [0, 0];
    for (const { folder } of stored) {
      const before = bytes;
      const one = await verifyActivations(folder, {
        ...(signal ? { signal } : {}),
        onProgress: (done) => onVerify(before + done, total),
      });
      files += one.files;
      bytes += one.bytes;
    }
    verified = { files, bytes };
  }
  return { folders, writer: (await lockOwner(path))?.pid, verified };
}

/** Activations of another program, or the error that says why they are none. */
export async function inspectActivations(
  path: string,
  signal: AbortSignal | undefined,
): Promise<ActivationsInspection | Error> {
  try {
    return await withResources(async (own) => {
      const source = own(await openActivations(path, signal ? { signal } : {}));
      const { format, D, rows, meta } = source;
      return {
        format,
        D,
        rows,
        meta,
        tokens: source.readTokens !== undefined,
        sample: await sampleOf(source),
      };
    });
  } catch (error) {
    signal?.throwIfAborted();
    return error as Error;
  }
}

async function sampleOf(source: ActivationSource): Promise<ActivationsInspection['sample']> {
  const { rows, D } = source;
  const blocks = Math.min(SAMPLE_BLOCKS, Math.ceil(rows / BLOCK_ROWS));
  const sums = emptySums(D);
  let [seen, finite] = [0, 0];
  for (let b = 0; b < blocks; b++) {
    const start = Math.floor((b * rows) / blocks);
    const count = Math.min(BLOCK_ROWS, Math.floor(((b + 1) * rows) / blocks) - start);
    const x = new Float32Array(count * D);
    await source.read(start, count, x);
    for (let row = 0; row < count; row++) {
      seen++;
      if (!allFinite(x, row * D, (row + 1) * D)) continue;
      finite++;
      addToSums(sums, x.subarray(row * D, (row + 1) * D), D);
    }
  }
  const { meanNorm, largest } = statisticsOf(sums, Math.max(1, finite));
  return { rows: seen, notFinite: seen - finite, meanNorm, largest };
}
