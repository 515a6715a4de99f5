/**
 * Model + hook + data -> run folder with a finished SAE. One function from config to result:
 *
 *     plan -> corpus -> activation stream -> trainer -> checkpoints, metrics -> SAE -> evaluation
 *
 * It stops between two steps: when the signal is raised (state saved, status `interrupted`), and when activations or loss are not
 * finite (state before that step saved, status `failed`). Either can be continued with the same bits.
 */

import { join } from 'node:path';
import type { Corpus } from '../data/index.ts';
import { createMoments, type Moments } from '../eval/index.ts';
import { NonFiniteActivations, type ResumableStream, type StreamPosition } from '../harvest/index.ts';
import type { HubAccess } from '../hub/types.ts';
import { openModel } from '../models/index.ts';
import type { Model } from '../models/types.ts';
import { getPlatform } from '../platform/index.ts';
import { createEncoder, type Sae, saveSae } from '../sae/index.ts';
import type { TrainConfig } from '../shared/config.ts';
import { Interrupted, UsageError } from '../shared/errors.ts';
import { type Run, runSchemaVersion } from '../shared/run.ts';
import {
  type Checkpoint,
  checkLogUrl,
  createRunFolder,
  folderWriter,
  type RunFolder,
  resumeRunFolder,
  type UrlReport,
} from '../store/index.ts';
import { createTrainer, type StepMetrics, type Trainer, TrainingDiverged } from '../train/index.ts';
import { addPrefix, joinRows, withPrefix } from './arrays.ts';
import { hubAccess, pinned } from './hub.ts';
import { type LogTarget, openLog } from './log.ts';
import { type Measured, measureSae, saveMeasured } from './measure.ts';
import { planTraining } from './plan.ts';
import { createPace, progressOf } from './progress.ts';
import { provenanceOf } from './provenance.ts';
import { type Own, withResources } from './resources.ts';
import type { SnippetProbe } from './snippets.ts';
import { openStart, type Start } from './start.ts';
import {
  corpusOptions,
  nextRows,
  openProbe,
  openStream,
  openText,
  stoppable,
  trainingRows,
  withStoredLength,
} from './streams.ts';
import type { Snippet, TrainPlan, TrainProgress } from './types.ts';

/** Rows that the geometric median and the scales are taken from, at most; a short run takes a twentieth of its rows. */
const SAMPLE_ROWS = 8192;
/** Rows behind the mean and covariance of the controls, as far as this many multiplications allow. */
const MOMENT_ROWS = 65_536;
const MOMENT_OPERATIONS = 1e10;
/** Cards made at the end. */
const FEATURES = 12;
/** Latents shown while training, and how often they are looked at. */
const SNIPPETS = 8;
const SNIPPET_MS = 2500;

/** With whom to tell of downloads from the hub. */
export type TrainOptions = HubAccess & {
  /** Run folder to make. */
  readonly folder: string;
  /** Posts every line of metrics there, too. */
  readonly logTo?: LogTarget;
  /** Before anything large is allocated. */
  readonly onPlan?: (plan: TrainPlan) => void;
  readonly onCorpus?: (corpus: Corpus) => void;
  /** While the shuffle buffer fills, in rows. */
  readonly onFill?: (done: number, total: number) => void;
  readonly onProgress?: (progress: TrainProgress) => void;
  /** Turns on the looking at latents while training. */
  readonly onSnippets?: (snippets: readonly Snippet[]) => void;
  readonly onEvaluate?: (done: number, total: number) => void;
};

export type TrainResult = {
  readonly folder: string;
  readonly plan: TrainPlan;
  readonly status: 'finished' | 'interrupted';
  readonly step: number;
  readonly seconds: number;
  /** The most memory that this process has held up to the end of training, in bytes. */
  readonly peakBytes: number;
  readonly progress: TrainProgress | undefined;
  readonly sae: Sae | undefined;
  readonly measured: Measured | undefined;
  /** What became of the lines for `logTo`. */
  readonly logged: UrlReport | undefined;
};

/**
 * Trains a new SAE.
 *
 * @throws UsageError for values that cannot go together; the errors of model, corpus and run folder; TrainingDiverged and
 *   NonFiniteActivations, with the last good state saved
 * @example
 * const { sae, measured } = await trainSae(trainConfigSchema.parse({ model: 'demo/model', data: ['texts/'] }), { folder: 'runs/first' });
 */
export async function trainSae(config: TrainConfig, options: TrainOptions): Promise<TrainResult> {
  if (options.logTo) checkLogUrl(options.logTo.url);
  return await withResources(async (own) => {
    const model = own(await openModel(config.model, hubAccess(options)));
    const stored = await withStoredLength(config);
    const plan = planTraining(stored, model, { cores: getPlatform().threads, folder: options.folder });
    options.onPlan?.(plan);
    const start = await openStart(plan);
    const corpus = own(await openText(model, { ...corpusOptions(config), ...hubAccess(options) }));
    options.onCorpus?.(corpus);
    requireText(corpus);
    const folder = own(await createRunFolder(options.folder));
    const started = new Date().toISOString();
    return await run({ model, plan, corpus, folder, own, started, ...start }, options);
  });
}

/** Continues the run in a folder from its last checkpoint; the result has the bits of a run that was never interrupted. */
export async function resumeTraining(options: TrainOptions): Promise<TrainResult> {
  if (options.logTo) checkLogUrl(options.logTo.url);
  return await withResources(async (own) => {
    const { folder, run: earlier, checkpoint } = await resumeRunFolder(options.folder);
    own(folder);
    if (earlier.status === 'finished')
      throw new UsageError(`${options.folder} is finished; there is nothing to continue.`);
    const { config } = earlier;
    const sources = pinned(config, earlier.provenance);
    const model = own(await openModel(sources.model, hubAccess(options)));
    if (model.info.hash !== earlier.provenance.model.hash)
      throw new Error(
        `${config.model} is not the model this run began with: its weights or config have changed.`,
      );
    const plan = planTraining(config, model, { cores: getPlatform().threads, folder: options.folder });
    options.onPlan?.(plan);
    const corpus = own(await openText(model, { ...corpusOptions(sources), ...hubAccess(options) }));
    options.onCorpus?.(corpus);
    const { started } = earlier;
    const { initialSae } = earlier.provenance;
    return await run({ model, plan, corpus, folder, own, started, checkpoint, initialSae }, options);
  });
}

function requireText({ train, files }: Corpus): void {
  if (train.count === 0)
    throw new Error(
      `No document is left for training: all ${files.reduce((sum, file) => sum + file.documents, 0)} are held out. Add text, or name other files with --heldout.`,
    );
}

type Parts = {
  readonly model: Model;
  readonly plan: TrainPlan;
  readonly corpus: Corpus;
  readonly folder: RunFolder;
  readonly own: Own;
  readonly started: string;
  readonly checkpoint?: Checkpoint;
} & Start;

async function run(parts: Parts, options: TrainOptions): Promise<TrainResult> {
  const { model, plan, corpus, folder, own, started, checkpoint } = parts;
  const { config, settings } = plan;
  const { signal, onProgress } = options;
  const cursor = (checkpoint?.json.stream as StreamPosition | undefined)?.cursor;
  const filling = stoppable(trainingRows(plan, model, corpus, cursor), signal);
  const stream = own(openStream(plan, model, filling.rows));
  const trainer = own(await createTrainer(plan.trainer));
  const log = own(await openLog(folder, config, { logTo: options.logTo, after: checkpoint?.step }));
  const moments = createMoments(plan.D);
  const begun = performance.now();

  const writeRun = (status: Run['status'], last?: StepMetrics): Promise<void> =>
    folder.writeRun({
      schemaVersion: runSchemaVersion,
      status,
      config,
      resolved: { ...settings, D: plan.D },
      seeds: { training: config.seed, shuffle: `${config.seed}/shuffle`, documents: config.seed },
      provenance: provenanceOf(model.info, corpus, parts.initialSae),
      started,
      ...(status === 'running' ? {} : { finished: new Date().toISOString() }),
      step: trainer.step,
      ...(last ? { metrics: last } : {}),
    });
  await writeRun('running');

  // Steps on the rows that the scales were taken from come first, so that no row is spent on initialisation only.
  const waiting: Float32Array[] = [];
  if (checkpoint) {
    const arrays = checkpoint.arrays as Map<string, Float32Array | Int32Array>;
    stream.restore(checkpoint.json.stream as StreamPosition, withPrefix(arrays, 'stream.'));
    await trainer.restore(withPrefix(arrays, 'trainer.'));
  } else {
    const stopFill = watchFill(stream, settings.shuffleTokens, options.onFill);
    try {
      const sample = Math.min(SAMPLE_ROWS, config.tokens / 20);
      const batches = Math.max(1, Math.ceil(sample / config.batchTokens));
      for (let i = 0; i < batches; i++) waiting.push(await nextRows(stream, config.batchTokens));
    } catch (error) {
      await writeRun(error instanceof Interrupted ? 'interrupted' : 'failed');
      throw error;
    } finally {
      stopFill();
    }
    await trainer.initialize(joinRows(waiting), parts.sae);
  }

  filling.release();
  const probe = options.onSnippets ? await openProbe(plan, model, corpus, SNIPPETS) : undefined;
  const save = async (): Promise<void> => {
    const { position, arrays } = stream.state();
    const all = new Map([...addPrefix(await trainer.state(), 'trainer.'), ...addPrefix(arrays, 'stream.')]);
    await folder.saveCheckpoint({ step: trainer.step, arrays: all, json: { stream: position } });
  };

  const batch = new Float32Array(config.batchTokens * plan.D);
  const pace = createPace(trainer.step);
  let last: StepMetrics | undefined;
  let progress: TrainProgress | undefined;
  let lookedAt = Number.NEGATIVE_INFINITY;
  try {
    while (trainer.step < settings.totalSteps) {
      // Rows taken out of the stream are not in its state: train on them before a state is saved.
      if (signal?.aborted && waiting.length === 0) break;
      const x = waiting.shift() ?? (await nextRows(stream, config.batchTokens, batch));
      collect(moments, x, plan.D);
      const before = performance.now();
      last = await trainer.train(x);
      stream.stages.sae += performance.now() - before;
      progress = progressOf(last, plan, stream, pace(last.step));
      onProgress?.(progress);
      if (last.step % config.logEverySteps === 0 || last.step === settings.totalSteps)
        await log.append({
          ...last,
          ...roundedStages(stream),
          tokensPerSecond: Math.round(progress.tokensPerSecond),
        });
      if (
        last.step % settings.checkpointSteps === 0 &&
        waiting.length === 0 &&
        last.step < settings.totalSteps
      )
        await save();
      if (probe && performance.now() - lookedAt > SNIPPET_MS && last.step >= 3) {
        options.onSnippets?.(await look(probe, trainer));
        lookedAt = performance.now();
      }
    }
  } catch (error) {
    throw await keepState(error, {
      trainer,
      save,
      writeRun: () => writeRun('failed', last),
      folder: options.folder,
    });
  }

  const base = {
    folder: options.folder,
    plan,
    step: trainer.step,
    progress,
    peakBytes: process.resourceUsage().maxRSS * 1024,
  };
  const seconds = (): number => (performance.now() - begun) / 1000;
  if (trainer.step < settings.totalSteps) {
    await save();
    await writeRun('interrupted', last);
    await log.close();
    return {
      ...base,
      status: 'interrupted',
      seconds: seconds(),
      sae: undefined,
      measured: undefined,
      logged: log.report(),
    };
  }
  const sae = await trainer.exportSae(saeMetadata(plan, model));
  await saveSae(folder.writer, sae);
  const trained = seconds();
  const measured = await measureAtEnd(parts, options, sae, moments);
  if (measured) await saveMeasured(folder.writer, folderWriter(join(options.folder, 'features')), measured);
  await writeRun('finished', last);
  await log.close();
  return { ...base, status: 'finished', seconds: trained, sae, measured, logged: log.report() };
}

async function look(probe: SnippetProbe, trainer: Trainer): Promise<Snippet[]> {
  const encoder = await createEncoder(await trainer.exportSae());
  try {
    return await probe.look((x) => encoder.encode(x));
  } finally {
    await encoder.close();
  }
}

async function measureAtEnd(
  { model, plan, corpus }: Parts,
  { signal, onEvaluate }: TrainOptions,
  sae: Sae,
  moments: Moments,
): Promise<Measured | undefined> {
  const { config, settings } = plan;
  if (config.evalTokens === 0 || corpus.heldout.count === 0 || signal?.aborted) return undefined;
  try {
    return await measureSae({
      model,
      hook: settings.hook,
      sae,
      heldout: corpus.heldout,
      contextLength: settings.contextLength,
      excludeSpecial: config.excludeSpecial,
      excludeFirst: config.excludeFirst,
      moments,
      maxTokens: config.evalTokens,
      ceTokens: Math.min(config.evalTokens, 32_768),
      klTokens: Math.min(config.evalTokens, 8192),
      seed: config.seed,
      cards: FEATURES,
      ...(signal ? { signal } : {}),
      ...(onEvaluate ? { onProgress: onEvaluate } : {}),
    });
  } catch (error) {
    // The SAE is finished and saved; stopping its evaluation is no failure.
    if (signal?.aborted) return undefined;
    throw error;
  }
}

/** After bad numbers: saves the state before that step, where there is one, and says so. */
async function keepState(
  error: unknown,
  {
    trainer,
    save,
    writeRun,
    folder,
  }: { trainer: Trainer; save(): Promise<void>; writeRun(): Promise<void>; folder: string },
): Promise<unknown> {
  if (!(error instanceof TrainingDiverged || error instanceof NonFiniteActivations)) {
    // A full disk, for one: whatever can still be written is.
    await writeRun().catch(() => {});
    return error;
  }
  await save();
  await writeRun();
  error.message = `Stopped at step ${trainer.step}: ${error.message}\nThe state before that is saved in ${folder}/checkpoints/step-${trainer.step}.`;
  return error;
}

function collect(moments: Moments, x: Float32Array, D: number): void {
  const rows = Math.min(MOMENT_ROWS, Math.max(10 * D, Math.floor(MOMENT_OPERATIONS / (D * D)))) - moments.n;
  if (rows > 0) moments.add(x, Math.min(rows, x.length / D));
}

function watchFill(stream: ResumableStream, total: number, onFill: TrainOptions['onFill']): () => void {
  if (!onFill) return () => {};
  const timer = setInterval(() => onFill(Math.min(stream.tokensSeen, total), total), 300);
  return () => clearInterval(timer);
}

function saeMetadata({ config, settings }: TrainPlan, { info }: Model): Record<string, unknown> {
  return {
    model_name: info.name,
    hook_name: settings.hook,
    context_size: settings.contextLength,
    prepend_bos: info.bosTokenId !== undefined,
    model_hash: info.hash,
    training_tokens: config.tokens,
    freeze: config.freeze,
    ...(config.multiTopk ? { multi_topk: true } : {}),
    ...(config.ema > 0 ? { ema: config.ema } : {}),
  };
}

const roundedStages = ({ stages }: ResumableStream) => ({
  dataMs: Math.round(stages.data),
  modelMs: Math.round(stages.model),
  saeMs: Math.round(stages.sae),
});
