/**
 * Model + hooks + data -> activations on disk, which any number of runs train on.
 *
 *     plan -> room on the disk? -> text, split as train splits it -> held-out rows, then training rows: one model pass for all hooks
 *
 * Training documents are gone through once: rows that come again are better made by the training that reads them. The rows of a part
 * are those that `train` would feed (before its shuffling) or measure with the same seed.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Corpus,
  type DataCursor,
  type DocumentSet,
  mixRows,
  packRows,
  type RowSource,
} from '../data/index.ts';
import { harvestToDisk } from '../harvest/index.ts';
import type { HubAccess } from '../hub/types.ts';
import { openModel } from '../models/index.ts';
import type { Model } from '../models/types.ts';
import type { HarvestOrigin } from '../shared/activations.ts';
import type { HarvestConfig } from '../shared/harvest.ts';
import {
  createShardWriter,
  HELDOUT_FOLDER,
  harvestFolders,
  lockFolder,
  makeFolder,
  readActivationsManifest,
  type ShardWriter,
} from '../store/index.ts';
import { type HarvestPlan, planHarvest, requireRoom } from './harvest-plan.ts';
import { hubAccess, modelOptions } from './hub.ts';
import { requireModelMemory } from './model-memory.ts';
import { MODEL_BATCH_SEQUENCES } from './plan.ts';
import { environment, textProvenance } from './provenance.ts';
import { withResources } from './resources.ts';
import { corpusOptions, openText, tokenizerOf, withStoredLength } from './streams.ts';

export type HarvestOptions = HubAccess & {
  /** Folder to make, or one in which the same harvest was stopped. */
  readonly folder: string;
  /** Before text is opened. */
  readonly onPlan?: (plan: HarvestPlan) => void;
  readonly onCorpus?: (corpus: Corpus) => void;
  /** Rows of both parts at every hook. */
  readonly onProgress?: (done: number, total: number) => void;
};

export type HarvestResult = {
  readonly folder: string;
  readonly status: 'finished' | 'interrupted';
  readonly seconds: number;
  readonly hooks: readonly {
    readonly hook: string;
    readonly folder: string;
    readonly D: number;
    /** Rows in whole files. */
    readonly rows: number;
    readonly heldoutRows: number;
  }[];
};

/** One part of the data on its way to disk. */
type Part = {
  readonly part: HarvestOrigin['part'];
  readonly tokens: number;
  readonly writers: readonly ShardWriter[];
  readonly open: (cursor?: DataCursor) => RowSource;
};

/**
 * Harvests activations. The same call goes on with a folder in which it was stopped, and the files come out the same byte for byte.
 *
 * @throws UsageError for unknown hooks (nearest names) and values that do not fit; StorageFull when the disk cannot hold the rows;
 *   NonFiniteActivations and BeyondFloat16, naming hook, document and position; when the folder holds something else or another
 *   process writes it; the errors of model and data
 * @example
 * await harvest(harvestConfigSchema.parse({ model: 'demo/model', data: ['texts/'] }), { folder: 'acts' });
 * const source = await openActivations('acts'); // training rows; held-out ones: openActivations(source.heldout)
 */
export async function harvest(config: HarvestConfig, options: HarvestOptions): Promise<HarvestResult> {
  const { folder, signal, onProgress = () => {} } = options;
  return await withResources(async (own) => {
    const model = own(await openModel(config.model, modelOptions(config, options)));
    const plan = await planHarvest(await withStoredLength(config), model, folder);
    options.onPlan?.(plan);
    requireRoom(plan);
    requireModelMemory(model.info, plan.needs, plan.modelMemory);
    const corpus = own(await openText(model, { ...corpusOptions(config), ...hubAccess(options) }));
    options.onCorpus?.(corpus);
    if (corpus.train.count === 0)
      throw new Error(
        'No document is left for training: all are held out. Add text, or name other files with --heldout.',
      );
    await makeFolder(folder);
    own({ close: await lockFolder(folder) });
    await checkFolder(plan);

    const begun = performance.now();
    // All writers first: a folder that cannot be taken is refused before anything is computed.
    const [train, ...heldout] = await openParts(config, plan, model, corpus);
    // Held-out rows first: they are few, and whoever stops early can train and measure.
    const parts = [...heldout, train!];
    let before = 0;
    let status: HarvestResult['status'] = 'finished';
    for (const [i, { part: _, ...part }] of parts.entries()) {
      const after = parts.slice(i + 1).reduce((sum, { tokens }) => sum + tokens, 0);
      const { excludeSpecial, excludeFirst } = config;
      const end = await harvestToDisk({
        ...{ model, excludeSpecial, excludeFirst, hooks: plan.hooks.map(({ hook }) => hook), ...part },
        batchSequences: MODEL_BATCH_SEQUENCES,
        ...(signal ? { signal } : {}),
        onRows: (rows) => onProgress(before + rows, before + part.tokens + after),
      });
      if (end === 'stopped') {
        status = 'interrupted';
        break;
      }
      before += Math.min(...part.writers.map(({ rows }) => rows));
    }
    const rowsOf = (which: HarvestOrigin['part'], hook: number): number =>
      parts.find(({ part }) => part === which)?.writers[hook]?.rows ?? 0;
    return {
      folder,
      status,
      seconds: (performance.now() - begun) / 1000,
      hooks: plan.hooks.map(({ hook, folder: at, D }, k) => ({
        ...{ hook, folder: at, D, rows: rowsOf('train', k), heldoutRows: rowsOf('heldout', k) },
      })),
    };
  });
}

/** A folder for several hooks holds nothing but one folder for each; `createShardWriter` looks into those. */
async function checkFolder({ folder, hooks }: HarvestPlan): Promise<void> {
  if (hooks.length === 1) return;
  if (await readActivationsManifest(folder))
    throw new Error(
      `${folder} holds activations of one hook, and ${hooks.length} need a folder each inside. Choose another folder with --out.`,
    );
  const known = new Set([...(await harvestFolders(folder)), ...hooks].map((one) => one.folder));
  const others = (await readdir(folder)).filter(
    (name) => !name.startsWith('.') && !known.has(join(folder, name)),
  );
  if (others.length > 0)
    throw new Error(
      `${folder} is not empty (${others.slice(0, 4).join(', ')}) and holds no activations. Choose another folder with --out.`,
    );
}

/** Training documents, and held-out ones where there are any. */
async function openParts(
  config: HarvestConfig,
  plan: HarvestPlan,
  model: Model,
  corpus: Corpus,
): Promise<Part[]> {
  const { data, split } = textProvenance(model.info, corpus);
  const { saekit } = environment();
  const { hash: tokenizerHash } = tokenizerOf(model);
  const { excludeSpecial, excludeFirst, dtype, roles } = config;
  const { name, hash, quantization } = model.info;
  const parts: Part[] = [];
  for (const part of ['train', 'heldout'] as const) {
    const tokens = part === 'train' ? config.tokens : config.heldoutTokens;
    if (part === 'heldout' && (tokens === 0 || corpus.heldout.count === 0)) continue;
    const { documents, seed, open } = partRows(part, config, plan, model, corpus);
    const writers: ShardWriter[] = [];
    for (const { hook, D, folder, rowsPerShard } of plan.hooks) {
      const origin: HarvestOrigin = {
        model: { name, hash, ...(quantization === undefined ? {} : { quantization }) },
        ...(tokenizerHash ? { tokenizerHash } : {}),
        ...{ hook, part, data, documents, split },
        ...(roles ? { roles } : {}),
        ...{ contextLength: plan.contextLength, excludeSpecial, excludeFirst, seed },
        ...{ batchSequences: MODEL_BATCH_SEQUENCES, tokens, dtype, D, rowsPerShard },
      };
      const at = part === 'train' ? folder : join(folder, HELDOUT_FOLDER);
      writers.push(await createShardWriter(at, origin, { saekit }));
    }
    parts.push({ part, tokens, writers, open });
  }
  return parts;
}

/** The packed rows of a part, with what identifies its documents. Those of a mixture do not end. */
function partRows(
  part: Part['part'],
  config: HarvestConfig,
  { contextLength }: HarvestPlan,
  model: Model,
  { train, heldout, mixture }: Corpus,
): Pick<Part, 'open'> & Pick<HarvestOrigin, 'documents' | 'seed'> {
  const seed = part === 'train' ? String(config.seed) : `${config.seed}/heldout`;
  const pack = (documents: DocumentSet, endless: boolean, cursor?: DataCursor): RowSource =>
    packRows({
      ...{ documents, tokenizer: tokenizerOf(model), contextLength, seed, endless },
      bosTokenId: model.info.bosTokenId,
      ...(cursor ? { cursor } : {}),
    });
  const documents = part === 'train' ? train : heldout;
  if (part === 'heldout' || !mixture)
    return { seed, documents: documents.fingerprint, open: (cursor) => pack(documents, false, cursor) };
  return {
    seed,
    documents: `${documents.fingerprint} mixed ${mixture.map(({ weight }) => weight).join(':')}`,
    open(cursor) {
      const sources = mixture.map((one, i) => ({
        rows: pack(one.documents, true, cursor?.parts?.[i]),
        weight: one.weight,
      }));
      return mixRows(sources, cursor);
    },
  };
}
