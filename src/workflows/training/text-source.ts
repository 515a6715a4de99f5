/** Model + text as a source of training rows. */
import type { Corpus } from '../../data/index.ts';
import { createActivationStreams } from '../../harvest/index.ts';
import { openModel } from '../../models/index.ts';
import type { Model } from '../../models/types.ts';
import { getPlatform } from '../../platform/index.ts';
import type { TextTrainConfig } from '../../shared/config.ts';
import { hubAccess, modelOptions } from '../hub.ts';
import { measureSae } from '../measure.ts';
import { MODEL_BATCH_SEQUENCES, planTraining } from '../plan.ts';
import { textProvenance } from '../provenance.ts';
import type { Own } from '../resources.ts';
import { corpusOptions, openProbe, openText, stoppable, trainingRows } from '../streams.ts';
import type { Source, SourceOptions, UnreadSource } from './source.ts';

/** Cards made at the end. */
const FEATURES = 12;

export async function openTextSource(
  config: TextTrainConfig,
  access: SourceOptions,
  own: Own,
): Promise<UnreadSource> {
  const model = own(await openModel(config.model, modelOptions(config, access)));
  return {
    modelHash: model.info.hash,
    plan: (given, options) => planTraining(given, model, { cores: getPlatform().threads, ...options }),
    async read() {
      const corpus = own(await openText(model, { ...corpusOptions(config), ...hubAccess(access) }));
      access.onCorpus?.(corpus);
      requireText(corpus);
      return textSource(model, corpus);
    },
  };
}

function requireText({ train, files }: Corpus): void {
  if (train.count === 0)
    throw new Error(
      `No document is left for training: all ${files.reduce((sum, file) => sum + file.documents, 0)} are held out. Add text, or name other files with --heldout.`,
    );
}

export function textSource(model: Model, corpus: Corpus): Source {
  const { info } = model;
  return {
    provenance: textProvenance(info, corpus),
    open(plan, hooks, { at, signal }) {
      const { config, settings } = plan;
      const { rows, release } = stoppable(trainingRows(plan, model, corpus, at?.cursor), signal);
      return {
        rows: createActivationStreams({
          model,
          hooks,
          rows,
          shuffleTokens: settings.shuffleTokens,
          seed: settings.dataSeed,
          excludeSpecial: config.excludeSpecial,
          excludeFirst: config.excludeFirst,
          batchSequences: MODEL_BATCH_SEQUENCES,
        }),
        filled: release,
      };
    },
    metadata: ({ settings }) => ({
      model_name: info.name,
      hook_name: settings.hook,
      ...(settings.outputHook === undefined ? {} : { hook_name_out: settings.outputHook }),
      context_size: settings.contextLength,
      prepend_bos: info.bosTokenId !== undefined,
      model_hash: info.hash,
      ...(info.quantization === undefined ? {} : { model_quantization: info.quantization }),
    }),
    async measure({ config, settings }, sae, moments, { frozen, signal, onProgress }) {
      if (corpus.heldout.count === 0) return undefined;
      return await measureSae({
        model,
        hook: settings.hook,
        ...(settings.outputHook === undefined ? {} : { outputHook: settings.outputHook }),
        sae,
        heldout: corpus.heldout,
        contextLength: settings.contextLength,
        excludeSpecial: config.excludeSpecial,
        excludeFirst: config.excludeFirst,
        moments,
        ...(frozen ? { frozen } : {}),
        maxTokens: config.evalTokens,
        ceTokens: Math.min(config.evalTokens, 32_768),
        klTokens: Math.min(config.evalTokens, 8192),
        seed: config.seed,
        cards: FEATURES,
        ...(signal ? { signal } : {}),
        ...(onProgress ? { onProgress } : {}),
      });
    },
    openProbe: (plan, count) => openProbe(plan, model, corpus, count),
  };
}
