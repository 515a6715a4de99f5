/** From a config and an opened model to everything that training needs, and the bytes it will hold. */
import { hookWidth, isByHead } from '../harvest/keep.ts';
import type { Model } from '../models/types.ts';
import type { TrainConfig } from '../shared/config.ts';
import { type DerivedSettings, defaultPrefixes, deriveSettings } from '../shared/derive.ts';
import { UsageError } from '../shared/errors.ts';
import { didYouMean } from '../shared/nearest.ts';
import type { ActivationSource } from '../store/index.ts';
import type { TrainerConfig } from '../train/index.ts';
import { memoryLines } from './estimate/memory.ts';
import type { TrainPlan } from './types.ts';

/** Sequences that the model runs at once while activations are read: more only cost memory. */
export const MODEL_BATCH_SEQUENCES = 4;
/** Rows that the geometric median and the scales are taken from, at most; a short run takes a twentieth of its rows. */
const SAMPLE_ROWS = 8192;

export type PlanOptions = {
  /** Logical processors, for the number of worker threads. */
  readonly cores: number;
  /** Run folder, for the printed plan. */
  readonly folder: string;
  /** Latents will be shown while training. */
  readonly snippets?: boolean | undefined;
};

/** Batches that are read before the first step, and are the first to be trained on. */
export const firstBatches = ({ tokens, batchTokens: B }: TrainConfig): number =>
  Math.max(1, Math.ceil(Math.min(SAMPLE_ROWS, tokens / 20) / B));

/** The hooks whose rows a run reads: of a transcoder also what it is to give. */
export const hooksOf = ({ hook, outputHook }: { hook: string; outputHook?: string | undefined }): string[] =>
  outputHook === undefined ? [hook] : [hook, outputHook];

/** @throws UsageError for an unknown hook (nearest names), one that is no vector per token, and values that do not fit */
export function planTraining(
  config: TrainConfig,
  model: Pick<Model, 'info' | 'hooks' | 'cost'>,
  options: PlanOptions,
): TrainPlan {
  const { info, hooks } = model;
  const { cores, folder } = options;
  const settings = deriveSettings(config, info, cores);
  const widthOf = (hook: string): number => {
    const names = hooks.map(({ name }) => name);
    if (!names.includes(hook))
      throw new UsageError(
        `${info.name} has no hook "${hook}".${didYouMean(hook, names)} All of them: saekit inspect ${config.model}`,
      );
    try {
      return hookWidth(model, hook);
    } catch (error) {
      throw new UsageError((error as Error).message);
    }
  };
  const [D, Dout] = hooksOf(settings).map(widthOf);
  const shape = { B: MODEL_BATCH_SEQUENCES, T: settings.contextLength };
  return finishPlan(
    config,
    settings,
    {
      D: D!,
      ...(Dout === undefined ? {} : { Dout }),
      flattened: isByHead(hooks.find(({ name }) => name === settings.hook)!),
      model: info,
      cost: model.cost(hooksOf(settings), shape),
      activations: undefined,
      folder,
    },
    options,
  );
}

/** The same for stored activations. @throws UsageError also for another hook than they say they are of */
export function planStored(
  config: TrainConfig,
  { D, rows, name, format, meta }: Pick<ActivationSource, 'D' | 'rows' | 'name' | 'format' | 'meta'>,
  options: PlanOptions,
): TrainPlan {
  const { cores, folder } = options;
  if (meta.hook !== undefined && config.hook !== undefined && config.hook !== meta.hook)
    throw new UsageError(
      `${name} says that its rows are of ${meta.hook}, and --hook is ${config.hook}. Leave --hook out, or take activations of ${config.hook}; --hook is for rows that do not say where they were taken.`,
    );
  const shape = { D, hook: meta.hook ?? name, contextLength: meta.contextLength };
  return finishPlan(
    config,
    deriveSettings(config, shape, cores),
    {
      D,
      flattened: shape.hook.endsWith('.hook_z'),
      model: undefined,
      cost: undefined,
      activations: { name, format, rows },
      folder,
    },
    options,
  );
}

function finishPlan(
  config: TrainConfig,
  settings: DerivedSettings,
  place: Pick<TrainPlan, 'D' | 'Dout' | 'flattened' | 'model' | 'cost' | 'activations' | 'folder'>,
  { snippets = false }: PlanOptions,
): TrainPlan {
  const { D, Dout, cost } = place;
  const trainer: TrainerConfig = {
    ...variantOptions(config, settings),
    D,
    ...(Dout === undefined ? {} : { Dout }),
    F: config.latents,
    K: Math.ceil(settings.l0) || config.k,
    B: config.batchTokens,
    totalSteps: settings.totalSteps,
    lr: settings.lr,
    encoderLrScale: settings.encoderLrScale,
    warmupSteps: settings.warmupSteps,
    decaySteps: settings.decaySteps,
    // Gao et al. 2024: eps well below the size of a gradient of a rare latent.
    adam: { beta1: settings.beta1, beta2: settings.beta2, eps: 6.25e-10 },
    auxk: settings.auxk,
    auxkCoefficient: config.auxkCoefficient,
    deadSteps: settings.deadSteps,
    multiTopk: config.multiTopk,
    ...(config.signed ? { signed: true } : {}),
    ema: config.ema,
    ...(settings.resampleSteps > 0 ? { resampleSteps: settings.resampleSteps } : {}),
    ...(config.tokenBias && place.model ? { vocabulary: place.model.V } : {}),
    freeze: config.freeze,
    seed: config.seed,
    shards: config.shards,
    workers: settings.workers,
  };
  checkShards(trainer);
  return {
    config,
    settings,
    trainer,
    ...place,
    memory: memoryLines({
      trainer,
      process: process.memoryUsage().rss,
      shuffleRows: Math.min(settings.shuffleTokens, place.activations?.rows ?? Number.POSITIVE_INFINITY),
      model: cost && { R: MODEL_BATCH_SEQUENCES, T: settings.contextLength, cost },
      firstBatches: firstBatches(config),
      fromSae: config.initFrom !== undefined,
      snippets,
      evaluation: config.evalTokens > 0,
    }),
  };
}

/** What only some variants have. */
function variantOptions(
  config: TrainConfig,
  { l0, sparsityWarmupSteps, totalSteps }: DerivedSettings,
): Pick<TrainerConfig, 'variant' | 'sparsity' | 'prefixes'> {
  const { variant, latents, penaltyPower, bandwidth } = config;
  if (variant === 'matryoshka') return { variant, prefixes: config.prefixes ?? defaultPrefixes(latents) };
  if (variant !== 'relu' && variant !== 'gated' && variant !== 'jumprelu') return { variant };
  return {
    variant,
    sparsity: {
      coefficient: config.sparsityCoefficient,
      l0,
      warmupSteps: sparsityWarmupSteps,
      ...(penaltyPower < 1 ? { anneal: { end: penaltyPower, from: Math.round(0.3 * totalSteps) } } : {}),
      ...(bandwidth === undefined ? {} : { bandwidth }),
    },
  };
}

function checkShards({ F, shards }: TrainerConfig): void {
  if (!Number.isInteger(Math.log2(shards)))
    throw new UsageError(`shards is ${shards}, expected a power of two. Use --shards 8 or 16.`);
  if (F % shards !== 0)
    throw new UsageError(
      `${F} latents cannot be dealt evenly to ${shards} shards. Use --latents ${Math.ceil(F / shards) * shards}, or fewer --shards.`,
    );
}
