/** Tokens per second of a planned training run on this machine, from a few real steps whose result is thrown away. */
import { openModel } from '../models/index.ts';
import { getPlatform } from '../platform/index.ts';
import type { TrainConfig } from '../shared/config.ts';
import { createTrainer } from '../train/index.ts';
import { planTraining } from './plan.ts';
import { withResources } from './resources.ts';
import {
  corpusOptions,
  nextRows,
  openStream,
  openText,
  stoppable,
  trainingRows,
  withStoredLength,
} from './streams.ts';

/** Steps that warm up the engine and the compiler, then steps that are timed. */
const WARM_UP = 2;
const TIMED = 5;

/**
 * Runs seven steps of the plan, data and model included.
 *
 * @returns tokens per second
 */
export async function measureSpeed(config: TrainConfig, signal?: AbortSignal): Promise<number> {
  return await withResources(async (own) => {
    const model = own(await openModel(config.model));
    const plan = planTraining(await withStoredLength(config), model, {
      cores: getPlatform().threads,
      folder: '',
    });
    const corpus = own(await openText(model, { ...corpusOptions(config), ...(signal ? { signal } : {}) }));
    const small = { ...plan, settings: { ...plan.settings, shuffleTokens: config.batchTokens } };
    const { rows } = stoppable(trainingRows(plan, model, corpus), signal);
    const stream = own(openStream(small, model, rows));
    const trainer = own(await createTrainer(plan.trainer));
    const first = await nextRows(stream, config.batchTokens);
    await trainer.initialize(first);
    let started = 0;
    for (let i = 0; i < WARM_UP + TIMED; i++) {
      if (i === WARM_UP) started = performance.now();
      await trainer.train(await nextRows(stream, config.batchTokens));
    }
    return (TIMED * config.batchTokens * 1000) / (performance.now() - started);
  });
}
