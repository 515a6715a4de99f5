/** What a harvest will read and write, known before text is opened; and whether the disk can hold it. */
import { join } from 'node:path';
import { hookWidth } from '../harvest/keep.ts';
import { selectHooks } from '../models/hooks.ts';
import type { Model } from '../models/types.ts';
import type { ActivationDtype } from '../shared/activations.ts';
import { defaultHook } from '../shared/derive.ts';
import { UsageError } from '../shared/errors.ts';
import type { HarvestConfig } from '../shared/harvest.ts';
import { harvestFolders, StorageFull, storedBytesPerRow } from '../store/index.ts';
import { freeBytes } from './estimate/disk.ts';
import { type ModelMemory, type ModelNeeds, modelMemory, size } from './model-memory.ts';
import { MODEL_BATCH_SEQUENCES } from './plan.ts';

/** Files by default: small enough that one per hook fits into memory, large enough for a disk. */
const SHARD_BYTES = 2 ** 26;
/** Manifests, headers and file system, per folder. */
const REST_BYTES = 2 ** 20;

export type HarvestedHook = {
  readonly hook: string;
  /** Width of its rows. */
  readonly D: number;
  /** Of its training rows; held-out ones lie in `heldout` inside. */
  readonly folder: string;
  readonly bytesPerRow: number;
  readonly rowsPerShard: number;
};

export type HarvestPlan = {
  readonly folder: string;
  readonly hooks: readonly HarvestedHook[];
  readonly dtype: ActivationDtype;
  readonly contextLength: number;
  readonly tokens: number;
  readonly heldoutTokens: number;
  /** Rows that an earlier run of the command has stored, of both parts, at the hook that has fewest. */
  readonly storedRows: number;
  /** Bytes still to be written, at most: data may end earlier. */
  readonly bytes: number;
  /** Bytes free on the disk; undefined where the system does not say. */
  readonly free: number | undefined;
  /** What of the model runs, and what that takes. */
  readonly needs: ModelNeeds;
  readonly modelMemory: ModelMemory;
  /** Bytes held in memory for shards. */
  readonly buffer: number;
};

/** Largest power of two of rows that makes files of at most SHARD_BYTES. */
const shardRows = (bytesPerRow: number): number =>
  2 ** Math.max(0, Math.floor(Math.log2(SHARD_BYTES / bytesPerRow)));

function chosenHooks(
  { hooks }: HarvestConfig,
  model: Pick<Model, 'info' | 'hooks'>,
): Pick<HarvestedHook, 'hook' | 'D'>[] {
  try {
    const chosen = selectHooks(model.hooks, hooks ?? defaultHook(model.info.layers));
    return chosen.map(({ name: hook }) => ({ hook, D: hookWidth(model, hook) }));
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** @throws UsageError for a context that is too long, for one of which nothing is left, for unknown hooks and those that are no vector per token */
export async function planHarvest(
  config: HarvestConfig,
  model: Pick<Model, 'info' | 'hooks' | 'cost'>,
  folder: string,
): Promise<HarvestPlan> {
  const { dtype, tokens, heldoutTokens } = config;
  const { info } = model;
  const contextLength = config.contextLength ?? Math.min(info.contextLength, 256);
  if (contextLength > info.contextLength)
    throw new UsageError(
      `contextLength is ${contextLength} but the model reads at most ${info.contextLength} positions. Lower --context-length.`,
    );
  if (config.excludeFirst >= contextLength)
    throw new UsageError(
      `excludeFirst ${config.excludeFirst} leaves nothing of rows of ${contextLength} positions. Lower --exclude-first.`,
    );
  const wanted = chosenHooks(config, model);
  const hooks = wanted.map(({ hook, D }): HarvestedHook => {
    const bytesPerRow = storedBytesPerRow(D, dtype);
    return {
      hook,
      D,
      folder: wanted.length === 1 ? folder : join(folder, hook),
      bytesPerRow,
      rowsPerShard: config.rowsPerShard ?? shardRows(bytesPerRow),
    };
  });
  const known = await harvestFolders(folder);
  let bytes = 0;
  let storedRows = tokens + heldoutTokens;
  for (const { hook, bytesPerRow } of hooks) {
    const own = known.filter(({ manifest }) => manifest.origin.hook === hook);
    const left = ({ part, rows }: { part: 'train' | 'heldout'; rows: number }): number => {
      const manifest = own.find((one) => one.manifest.origin.part === part)?.manifest;
      return manifest?.finished ? 0 : Math.max(0, rows - (manifest?.rows ?? 0));
    };
    const rows = left({ part: 'train', rows: tokens }) + left({ part: 'heldout', rows: heldoutTokens });
    bytes += rows > 0 ? rows * bytesPerRow + REST_BYTES : 0;
    storedRows = Math.min(storedRows, tokens + heldoutTokens - rows);
  }
  const needs = {
    hooks: hooks.map(({ hook }) => hook),
    B: MODEL_BATCH_SEQUENCES,
    T: contextLength,
    whole: false,
  };
  return {
    needs,
    modelMemory: modelMemory(model, needs),
    ...{ folder, hooks, dtype, contextLength, tokens, heldoutTokens, storedRows, bytes },
    free: await freeBytes(folder),
    buffer: hooks.reduce(
      (sum, { bytesPerRow, rowsPerShard }) =>
        sum + bytesPerRow * Math.min(rowsPerShard, Math.max(tokens, heldoutTokens)),
      0,
    ),
  };
}

/** @throws when the disk has not enough room */
export function requireRoom({ folder, bytes, free, tokens, heldoutTokens }: HarvestPlan): void {
  if (free === undefined || bytes <= free) return;
  const share = Math.floor(((tokens + heldoutTokens) * free) / bytes);
  throw new StorageFull(
    `${folder}: ${size(bytes)} are needed, ${size(free)} are free on its disk: room for about ${share} rows. Lower --tokens, take fewer --hooks or a smaller --dtype, or choose another disk with --out.`,
  );
}
