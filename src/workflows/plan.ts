/** From a config and an opened model to everything that training needs, and the bytes it will hold. */
import type { Model } from '../models/types.ts';
import type { TrainConfig } from '../shared/config.ts';
import { type DerivedSettings, deriveSettings } from '../shared/derive.ts';
import { UsageError } from '../shared/errors.ts';
import { didYouMean } from '../shared/nearest.ts';
import type { ActivationSource } from '../store/index.ts';
import { rankCount, type TrainerConfig, trainerBudget } from '../train/index.ts';
import type { TrainPlan } from './types.ts';

/** Sequences that the model runs at once while activations are read: more only cost memory. */
export const MODEL_BATCH_SEQUENCES = 4;
/** Engine, code, tokenizer tables and the activations inside the model, beyond the model's own weights. */
const REST_BYTES = 300e6;

/**
 * @param folder run folder, for the printed plan
 * @throws UsageError for an unknown hook (nearest names), one that is no vector per token, and values that do not fit
 */
export function planTraining(
  config: TrainConfig,
  { info, hooks }: Pick<Model, 'info' | 'hooks'>,
  { cores, folder }: { readonly cores: number; readonly folder: string },
): TrainPlan {
  const settings = deriveSettings(config, info, cores);
  const place = hooks.find(({ name }) => name === settings.hook);
  if (place === undefined) {
    const names = hooks.map(({ name }) => name);
    throw new UsageError(
      `${info.name} has no hook "${settings.hook}".${didYouMean(settings.hook, names)} All of them: saekit inspect ${config.model}`,
    );
  }
  return finishPlan(config, settings, {
    D: place.width,
    model: info,
    activations: undefined,
    rowsInFlight: 2 * MODEL_BATCH_SEQUENCES * settings.contextLength,
    folder,
  });
}

/** The same for stored activations. */
export function planStored(
  config: TrainConfig,
  { D, rows, name, format, meta }: Pick<ActivationSource, 'D' | 'rows' | 'name' | 'format' | 'meta'>,
  { cores, folder }: { readonly cores: number; readonly folder: string },
): TrainPlan {
  const shape = { D, hook: meta.hook ?? name, contextLength: meta.contextLength };
  return finishPlan(config, deriveSettings(config, shape, cores), {
    D,
    model: undefined,
    activations: { name, format, rows },
    rowsInFlight: 0,
    folder,
  });
}

function finishPlan(
  config: TrainConfig,
  settings: DerivedSettings,
  {
    D,
    rowsInFlight,
    ...place
  }: Pick<TrainPlan, 'D' | 'model' | 'activations' | 'folder'> & {
    /** Between the model and the shuffle buffer. */
    readonly rowsInFlight: number;
  },
): TrainPlan {
  const trainer: TrainerConfig = {
    D,
    F: config.latents,
    K: config.k,
    B: config.batchTokens,
    totalSteps: settings.totalSteps,
    lr: settings.lr,
    encoderLrScale: settings.encoderLrScale,
    warmupSteps: settings.warmupSteps,
    decaySteps: settings.decaySteps,
    // Gao et al. 2024: eps well below the size of a gradient of a rare latent.
    adam: { beta1: 0.9, beta2: settings.beta2, eps: 6.25e-10 },
    auxk: settings.auxk,
    auxkCoefficient: config.auxkCoefficient,
    deadSteps: settings.deadSteps,
    multiTopk: config.multiTopk,
    ema: config.ema,
    freeze: config.freeze,
    seed: config.seed,
    shards: config.shards,
    workers: settings.workers,
  };
  checkShards(trainer);
  const row = D * 4;
  return {
    config,
    settings,
    trainer,
    D,
    ...place,
    budget: {
      ...trainerBudget(trainer, rankCount(trainer)),
      'shuffle buffer': settings.shuffleTokens * row,
      'rows in flight': (2 * config.batchTokens + rowsInFlight) * row,
      'engine and code': REST_BYTES,
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
