/**
 * An SAE (or directions) and text -> feature tables.
 *
 *     text -> model -> codes in blocks on disk (collect)   -> tables (build)
 *
 * The blocks lie in OUT/.index while the work goes on; a run that was stopped goes on after the last of them.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { balancedOrder, type DataCursor, packRows } from '../../data/index.ts';
import { createRowReader } from '../../eval/index.ts';
import { createUnembed } from '../../explain/index.ts';
import type { HubAccess } from '../../hub/types.ts';
import { openModel } from '../../models/index.ts';
import { UsageError } from '../../shared/errors.ts';
import { type IndexConfig, type TablesManifest, tablesSchemaVersion } from '../../shared/feature-tables.ts';
import {
  folderWriter,
  lockFolder,
  MANIFEST_FILE,
  makeFolder,
  openBlocks,
  readTablesManifest,
} from '../../store/index.ts';
import { jsonFile } from '../arrays.ts';
import { findTarget, isOwnText, requireFit, requireRight } from '../evaluate-sae.ts';
import { hubAccess, modelOptions } from '../hub.ts';
import { labellerOf } from '../labels.ts';
import { modelMemory, requireModelMemory } from '../model-memory.ts';
import { elsewhere, placeOf } from '../own-place.ts';
import { hooksOf, MODEL_BATCH_SEQUENCES } from '../plan.ts';
import { kept, resultsFolder } from '../recorded.ts';
import { withResources } from '../resources.ts';
import { testOnDocuments } from '../self-test.ts';
import { openText, tokenizerOf } from '../streams.ts';
import { buildTables } from './build.ts';
import { collect } from './collect.ts';
import { documentLabels, type FieldColumn } from './labels-of.ts';
import { directionsOf, keptOf, latentsOf } from './subject.ts';

export type IndexOptions = HubAccess & {
  /** Before the first text is read. */
  readonly onStart?: (start: {
    readonly folder: string;
    readonly model: string;
    readonly hook: string;
    readonly documents: number;
    /** Measured tokens that an earlier run has read already. */
    readonly resumed: number;
  }) => void;
  readonly onProgress?: (stage: 'tokens' | 'latents', done: number, total: number) => void;
};

const balanceNote = (fields: readonly string[]): string =>
  `Text was chosen in equal shares of every value of ${fields.join(' and of ')}: densities, rates and scores are of that text.`;
const renamedNotes = (columns: readonly FieldColumn[]): string[] =>
  columns
    .filter(({ field, column }) => field !== column)
    .map(
      ({ field, column }) =>
        `The field ${JSON.stringify(field)} of the documents is the column ${JSON.stringify(column)}: the documents table has a column of its name already.`,
    );

/**
 * Indexes and writes the tables into `config.out`, by default `features/` of the SAE's folder.
 *
 * @throws Error for an SAE that the self-test finds to be wrong on this text, unless `allowWrong`; UsageError when model, hook or text are not known, for latents or fields that are not there, for directions of another width, for
 *   `balance` of rows that are packed already, and for some latents where the tables of all are and `out` is not given
 * @example
 * await indexSae({ ...indexConfigSchema.parse({ sae: 'demo/saes/blocks.3.hook_resid_post' }) });
 * const tables = await openFeatureTables('demo/saes/blocks.3.hook_resid_post/features');
 */
export async function indexSae(
  config: IndexConfig,
  options: IndexOptions = {},
): Promise<TablesManifest & { readonly folder: string }> {
  if (config.directions !== undefined && config.out === undefined)
    throw new UsageError('Directions are indexed into a folder of their own: name it with --out.');
  if (config.directions !== undefined && config.latents !== undefined)
    throw new UsageError(
      '--latents chooses latents of the SAE; with --directions all directions are indexed.',
    );
  if (config.directions !== undefined && config.screen === 'int8')
    throw new UsageError('--screen is for the latents of an SAE; directions are few, and all computed.');
  const target = await findTarget({ ...config, heldout: config.data }, hubAccess(options));
  const folder = config.out ?? join(resultsFolder(config.sae), 'features');
  if (config.latents && config.out === undefined && existsSync(join(folder, MANIFEST_FILE))) {
    const { F, latents, names } = await readTablesManifest(folder);
    if (!latents && !names)
      throw new UsageError(
        `${folder} has the tables of all ${F} latents, and those of a few would take their place. Name another folder with --out, or ${folder} itself to replace them.`,
      );
  }
  const { signal } = options;
  return await withResources(async (own) => {
    const model = own(await openModel(target.model, modelOptions(config, options)));
    requireFit(target, model);
    const contextLength = target.contextLength ?? Math.min(model.info.contextLength, 256);
    const needs = { hooks: [target.hook], B: MODEL_BATCH_SEQUENCES, T: contextLength, whole: false };
    requireModelMemory(model.info, needs, modelMemory(model, needs));
    const corpus = own(
      await openText(model, {
        data: target.data,
        textField: target.textField,
        ...(target.heldout ? { heldout: target.heldout } : {}),
        ...target.reading,
        ...hubAccess(options),
      }),
    );
    const documents = corpus.heldout;
    const here = placeOf(target, model);
    const subject = own(
      config.directions === undefined
        ? await latentsOf(target.sae, config.latents, config.screen)
        : await directionsOf(config.directions, target.sae.config.D, config.allowWrong ? undefined : here),
    );
    if (config.balance && documents.stored)
      throw new UsageError(
        `--balance chooses documents, and ${documents.stored.name} holds rows that are packed already. Give the text itself.`,
      );
    const other = elsewhere(target.trained, here);
    if (other !== undefined && config.out === undefined)
      throw new UsageError(
        `${folder} is for tables of the place where ${config.sae} was trained: ${other}. Name another folder with --out.`,
      );
    // Directions are not of the SAE, which only says where they are.
    const test =
      config.directions === undefined
        ? await testOnDocuments(target.sae, config.sae, {
            ...{ ...target, model, documents, contextLength, signal, hooks: hooksOf(target) },
            compare: isOwnText({ data: config.data }) && other === undefined,
          })
        : undefined;
    if (test) requireRight(config, target.sae, test);
    const labels = await documentLabels(documents, config.groups, signal);
    const balanced = config.balance && labels.columnsOf(config.balance);
    const balance = balanced?.map(({ column }) => column);
    const tokenizer = tokenizerOf(model);
    const identity = createHash('sha256')
      .update(
        JSON.stringify([
          ...[tablesSchemaVersion, model.info.hash, target.hook, subject.hash, subject.latents ?? null],
          ...[documents.fingerprint, contextLength, config.maxTokens, config.seed],
          balance ?? null,
        ]),
      )
      .digest('hex');

    await makeFolder(folder);
    const unlock = await lockFolder(folder);
    own({ close: unlock });
    const blocks = await openBlocks(join(folder, '.index'), identity);
    options.onStart?.({
      ...{ folder, model: model.info.name, hook: target.hook, documents: documents.count },
      resumed: blocks.state?.tokens ?? 0,
    });
    const seed = `${config.seed}/index`;
    const rows = packRows({
      ...{ documents, tokenizer, contextLength, bosTokenId: model.info.bosTokenId },
      ...{ seed, endless: false, offsets: true },
      ...(balanced && {
        order: balancedOrder(
          balanced.map(({ ofDocument }) => ofDocument),
          labels.bytes,
          seed,
        ),
      }),
      ...(blocks.state ? { cursor: blocks.state.cursor as DataCursor } : {}),
    });
    const chosen = keptOf(subject);
    await collect({
      ...{ rows, blocks, maxTokens: config.maxTokens },
      read: createRowReader({
        ...{ model, hook: target.hook, encode: subject.encode, excludeFirst: target.excludeFirst },
        ...(target.excludeSpecial ? { specialIds: tokenizer.specialIds } : {}),
      }),
      ...(chosen ? { kept: chosen } : {}),
      ...(signal ? { signal } : {}),
      onProgress: (tokens) => options.onProgress?.('tokens', tokens, config.maxTokens),
    });
    const built = await buildTables({
      ...{ folder, blocks, waiting: join(folder, '.index'), subject, documents, seed: config.seed },
      labeller: await labellerOf(documents, signal ? { signal } : {}),
      ...(model.info.encoder ? {} : { unembed: createUnembed(model) }),
      tokenStrings: (ids) => tokenizer.tokenStrings(ids),
      labels,
      ...(signal ? { signal } : {}),
      onProgress: (done, of) => options.onProgress?.('latents', done, of),
    });
    const manifest: TablesManifest = {
      schemaVersion: tablesSchemaVersion as TablesManifest['schemaVersion'],
      identity,
      ...{ model: model.info.name, modelHash: model.info.hash, hook: target.hook, F: subject.F },
      ...(subject.latents ? { latents: [...subject.latents] } : {}),
      ...(subject.names ? { names: [...subject.names] } : {}),
      contextLength,
      ...(balance && { balance }),
      ...built,
      columns: [...built.columns],
      ...(test ? { selfTest: kept(test) } : {}),
      notes: [
        ...(balance ? [balanceNote(balance)] : []),
        ...renamedNotes(labels.columns),
        ...(test && other !== undefined ? [`Not where the SAE was trained: ${other}.`] : []),
        'Guesses are made by rule; nobody checked them.',
        `Latents that fire together were counted on the first tokens, neighbours on all decoder rows.`,
      ],
    };
    await folderWriter(folder).write(MANIFEST_FILE, ...jsonFile(manifest));
    await blocks.remove();
    return { ...manifest, folder };
  });
}
