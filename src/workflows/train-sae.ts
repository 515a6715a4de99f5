/**
 * Rows + config -> run folder with a finished SAE. One function from config to result:
 *
 *     plan -> source (model and text, or stored activations) -> loop: steps, checkpoints, metrics -> SAE -> evaluation
 *
 * Several SAEs on the same rows: train-grid.ts.
 */
import { join } from 'node:path';
import type { HubAccess } from '../hub/types.ts';
import { type Sae, saveSae } from '../sae/index.ts';
import { type TrainConfig, textConfig } from '../shared/config.ts';
import { UsageError } from '../shared/errors.ts';
import { sameModel } from '../shared/model-hash.ts';
import {
  checkLogUrl,
  createRunFolder,
  folderWriter,
  resumeRunFolder,
  type UrlReport,
} from '../store/index.ts';
import { pinned } from './hub.ts';
import type { LogTarget } from './log.ts';
import { fingerprinted, type Measured, saveMeasured } from './measure.ts';
import { requirePlanMemory } from './model-memory.ts';
import { type Own, withResources } from './resources.ts';
import { openStart } from './start.ts';
import { withStoredLength } from './streams.ts';
import { type LoopResult, trainMembers } from './training/loop.ts';
import { type Member, openMember } from './training/member.ts';
import type { Source, SourceOptions, UnreadSource } from './training/source.ts';
import { openStoredSource } from './training/stored-source.ts';
import { openTextSource } from './training/text-source.ts';
import type { Snippet, TrainPlan, TrainProgress } from './types.ts';

/** With whom to tell of downloads from the hub. */
export type TrainOptions = HubAccess & {
  /** Run folder to make. */
  readonly folder: string;
  /** Posts every line of metrics there, too. */
  readonly logTo?: LogTarget;
  /** Before anything large is allocated. */
  readonly onPlan?: (plan: TrainPlan) => void;
  readonly onCorpus?: SourceOptions['onCorpus'];
  /** While the shuffle buffer fills, in rows. */
  readonly onFill?: (done: number, total: number) => void;
  readonly onProgress?: (progress: TrainProgress) => void;
  /** Turns on the looking at latents while training. */
  readonly onSnippets?: (snippets: readonly Snippet[]) => void;
  readonly onEvaluate?: (done: number, total: number) => void;
};

/** A run goes on as it was begun, but for what does not change its result. */
export type ResumeOptions = TrainOptions & {
  /** Worker threads; default: as in the run, or as many as there are cores. */
  readonly workers?: number | undefined;
};

export type TrainResult = {
  readonly folder: string;
  readonly plan: TrainPlan;
  readonly status: 'finished' | 'interrupted';
  readonly step: number;
  /** Up to the end of training, evaluation not included. */
  readonly seconds: number;
  /** The most memory that this process has held up to the end of training, in bytes. */
  readonly peakBytes: number;
  readonly progress: TrainProgress | undefined;
  readonly sae: Sae | undefined;
  readonly measured: Measured | undefined;
  /** What became of the lines for `logTo`. */
  readonly logged: UrlReport | undefined;
};

/** Opens what a config reads: model and text, or stored activations. */
export async function openSource(
  config: TrainConfig,
  options: SourceOptions,
  own: Own,
): Promise<UnreadSource> {
  const { activations } = config;
  return activations === undefined
    ? await openTextSource(textConfig(config), options, own)
    : await openStoredSource({ ...config, activations }, options, own);
}

/**
 * Trains a new SAE.
 *
 * @throws UsageError for values that cannot go together; the errors of model, corpus, activations and run folder; TrainingDiverged and
 *   NonFiniteActivations, with the last good state saved
 * @example
 * const { sae, measured } = await trainSae(trainConfigSchema.parse({ model: 'demo/model', data: ['texts/'] }), { folder: 'runs/first' });
 */
export async function trainSae(config: TrainConfig, options: TrainOptions): Promise<TrainResult> {
  const { logTo } = options;
  if (logTo) checkLogUrl(logTo.url);
  return await withResources(async (own) => {
    const unread = await openSource(config, options, own);
    const plan = unread.plan(await withStoredLength(config), shown(options));
    options.onPlan?.(plan);
    requirePlanMemory(plan);
    const start = await openStart(plan);
    const source = await unread.read();
    const folder = own(await createRunFolder(options.folder));
    const started = new Date().toISOString();
    const member = await openMember(
      { plan, source, folder, started, start, checkpoint: undefined, logTo },
      own,
    );
    return await train(source, member, options);
  });
}

const shown = ({ folder, onSnippets }: TrainOptions) => ({ folder, snippets: onSnippets !== undefined });

/**
 * Continues the run in a folder from its last checkpoint, or from the beginning when it has none yet; the result has the bits of a run
 * that was never interrupted.
 */
export async function resumeTraining(options: ResumeOptions): Promise<TrainResult> {
  const { logTo, workers } = options;
  if (logTo) checkLogUrl(logTo.url);
  return await withResources(async (own) => {
    const { folder, run, checkpoint } = await resumeRunFolder(options.folder);
    own(folder);
    const { provenance, started } = run;
    const config = workers === undefined ? run.config : { ...run.config, workers };
    if (run.status === 'finished')
      throw new UsageError(`${options.folder} is finished; there is nothing to continue.`);
    const unread = await openSource(pinned(config, provenance), options, own);
    checkModel(unread, config, provenance.model?.hash);
    const plan = unread.plan(config, shown(options));
    options.onPlan?.(plan);
    requirePlanMemory(plan);
    const start = checkpoint ? { initialSae: provenance.initialSae } : await openStart(plan);
    const source = await unread.read();
    const member = await openMember({ plan, source, folder, started, start, checkpoint, logTo }, own);
    return await train(source, member, options);
  });
}

/** @throws when a run's model has changed since it began */
export function checkModel(
  { modelHash }: UnreadSource,
  { model }: TrainConfig,
  hash: string | undefined,
): void {
  if (!sameModel(modelHash, hash))
    throw new Error(`${model} is not the model this run began with: its weights or config have changed.`);
}

async function train(source: Source, member: Member, options: TrainOptions): Promise<TrainResult> {
  const { onProgress } = options;
  const begun = performance.now();
  const loop = await trainMembers(source, [member], {
    ...options,
    onProgress: onProgress && (([progress]) => progress && onProgress(progress)),
  });
  const sae = loop.status === 'finished' ? await saveMember(member) : undefined;
  const { signal, onEvaluate } = options;
  const seconds = (performance.now() - begun) / 1000;
  return await finishMember(source, member, loop, { sae, signal, onEvaluate, seconds });
}

/** Writes the finished SAE; the member trains no more. */
export async function saveMember(member: Member): Promise<Sae> {
  try {
    const sae = await member.finish();
    await saveSae(member.folder.writer, sae);
    return sae;
  } catch (error) {
    throw await failed(member, error, `The last checkpoint in ${member.folder.path} is intact.`);
  }
}

/** After the last step: the error with what is still good. */
async function failed({ writeRun }: Member, error: unknown, good: string): Promise<unknown> {
  // On a full disk whatever can still be written is.
  await writeRun('failed').catch(() => {});
  if (error instanceof Error) error.message += `\n${good}`;
  return error;
}

/** After the loop: the evaluation of a finished SAE, and the last words of run.json. */
export async function finishMember(
  source: Source,
  member: Member,
  { status, moments }: LoopResult,
  {
    sae,
    signal,
    onEvaluate,
    seconds,
  }: {
    readonly sae: Sae | undefined;
    readonly signal?: AbortSignal | undefined;
    readonly onEvaluate?: TrainOptions['onEvaluate'] | undefined;
    /** That training took. */
    readonly seconds: number;
  },
): Promise<TrainResult> {
  const { plan, trainer, folder, progress } = member;
  const peakBytes = process.resourceUsage().maxRSS * 1024;
  let measured: Measured | undefined;
  try {
    if (sae !== undefined && plan.config.evalTokens > 0 && !signal?.aborted)
      measured = await source.measure(plan, sae, moments(member), { signal, onProgress: onEvaluate });
    if (measured) measured = await fingerprinted(measured, folder.path);
    if (measured) await saveMeasured(folder.writer, folderWriter(join(folder.path, 'features')), measured);
  } catch (error) {
    // The SAE is finished and saved; stopping its evaluation is no failure.
    if (!signal?.aborted) throw await failed(member, error, `The SAE itself is saved in ${folder.path}.`);
  }
  await member.writeRun(status);
  const logged = await member.closeLog();
  const { step } = trainer;
  return { folder: folder.path, plan, status, step, progress, seconds, peakBytes, sae, measured, logged };
}
