/**
 * A finished SAE folder -> eval.json, features/cards.json: metrics on held-out text beside PCA and, when asked for, a frozen-decoder SAE that is trained
 * with the same budget into `controls/frozen-decoder/` of the same folder (once; it is found again the next time).
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Corpus, packRows } from '../data/index.ts';
import { createMoments, type Moments, sideBySide, WIDEST_PCA } from '../eval/index.ts';
import { createActivationStreams } from '../harvest/index.ts';
import type { HubAccess } from '../hub/types.ts';
import { openModel } from '../models/index.ts';
import { outputPlace, placeSae, refuseSeveralPlaces } from '../models/place-sae.ts';
import type { Model } from '../models/types.ts';
import { loadSae, refuseWrong, type Sae, type SelfTest, selfTestText } from '../sae/index.ts';
import { WEIGHTS_FILE } from '../sae/save.ts';
import type { EvalConfig, TrainConfig } from '../shared/config.ts';
import { Interrupted, UsageError } from '../shared/errors.ts';
import { folderWriter, readRun } from '../store/index.ts';
import { hubAccess, modelOptions, pinned, saeFolder } from './hub.ts';
import { fingerprinted, type Measured, measureSae, saveMeasured } from './measure.ts';
import { type ModelMemory, modelMemory, requireModelMemory } from './model-memory.ts';
import { elsewhere, type Place, placeOf, trainedAt } from './own-place.ts';
import { hooksOf, MODEL_BATCH_SEQUENCES } from './plan.ts';
import { kept, recordedTest, resultsFolder } from './recorded.ts';
import { withResources } from './resources.ts';
import { requireSae } from './run-state.ts';
import { testOnDocuments, testOnRows } from './self-test.ts';
import { openText, type TextOptions, tokenizerOf } from './streams.ts';
import { openSource, resumeTraining, type TrainOptions, trainSae } from './train-sae.ts';

/** Rows behind the mean and the covariance of the controls. */
const MOMENT_ROWS = 65_536;

/** What an SAE folder and its run say about where it reads, with the config's own words first. */
export type EvalTarget = {
  readonly sae: Sae;
  /** What is known of it before it has seen activations. */
  readonly test: SelfTest;
  /** Where it lies: of one from the hub, in the cache. */
  readonly folder: string;
  readonly model: string;
  readonly hook: string;
  /** Of a transcoder: what it gives. */
  readonly outputHook: string | undefined;
  readonly data: readonly string[];
  readonly heldout: readonly string[] | undefined;
  readonly textField: string;
  readonly contextLength: number | undefined;
  readonly excludeSpecial: boolean;
  readonly excludeFirst: number;
  /** How the run read its text, beside the field. */
  readonly reading: Pick<TextOptions, 'roles' | 'stream' | 'keepNearDuplicates'>;
  /** Where it was trained, which may be another place than the config names. */
  readonly trained: Place;
  /** The config it was trained with, when the folder is a run. */
  readonly run: TrainConfig | undefined;
};

/** With whom to tell of downloads from the hub. */
export type EvaluateSaeOptions = HubAccess & {
  readonly onTarget?: (target: EvalTarget, model: Model, corpus: Corpus, memory: ModelMemory) => void;
  readonly onProgress?: (done: number, total: number) => void;
  /** While the frozen-decoder control trains. */
  readonly training?: Pick<TrainOptions, 'onPlan' | 'onCorpus' | 'onProgress'>;
};

export type Evaluated = Measured & {
  /** What was written. */
  readonly files: readonly string[];
  /** Why nothing was: how the place that was measured is not where the SAE was trained. */
  readonly elsewhere?: string;
};

/**
 * Measures a finished SAE and writes eval.json and features/cards.json into its folder; at another hook, or in another model than it was
 * trained on, it writes nothing.
 *
 * @throws UsageError when model, hook or data are neither given nor known from the run
 */
export async function evaluateSae(config: EvalConfig, options: EvaluateSaeOptions = {}): Promise<Evaluated> {
  await requireSae(config.sae);
  const stored = await findStored(config);
  if (stored) return await evaluateStored(config, stored, options);
  const target = await findTarget(config, hubAccess(options));
  if (target.folder !== config.sae)
    throw new UsageError(
      `eval writes into the folder of the SAE, and ${config.sae} is on the hub. Copy what is in ${target.folder} to a folder of your own and name that.`,
    );
  refuseSeveralPlaces(target.sae);
  const frozen = config.controls ? await frozenControl(config, target.run, options) : undefined;
  return await withResources(async (own) => {
    const model = own(await openModel(target.model, modelOptions(config, options)));
    requireFit(target, model);
    const contextLength = target.contextLength ?? Math.min(model.info.contextLength, 256);
    const needs = { hooks: hooksOf(target), B: MODEL_BATCH_SEQUENCES, T: contextLength, whole: true };
    const memory = modelMemory(model, needs);
    requireModelMemory(model.info, needs, memory);
    const corpus = own(
      await openText(model, {
        data: target.data,
        textField: target.textField,
        ...(target.heldout ? { heldout: target.heldout } : {}),
        ...target.reading,
        ...hubAccess(options),
      }),
    );
    options.onTarget?.(target, model, corpus, memory);
    const other = elsewhere(target.trained, placeOf(target, model));
    // On held-out text, as what was recorded; before the long part.
    const test = await testOnDocuments(target.sae, config.sae, {
      ...{ ...target, model, contextLength, signal: options.signal, hooks: hooksOf(target) },
      ...{ documents: corpus.heldout, compare: isOwnText(config) && other === undefined },
    });
    requireRight(config, target.sae, test);
    const moments = await trainingMoments(model, corpus, target, contextLength, options.signal);
    const measured = await measureSae({
      ...target,
      model,
      heldout: corpus.heldout,
      contextLength,
      moments,
      ...(frozen ? { frozen } : {}),
      maxTokens: config.maxTokens,
      ceTokens: config.ceTokens,
      klTokens: config.klTokens,
      seed: config.seed,
      screen: config.screen,
      cards: config.features,
      ...(options.signal ? { signal: options.signal } : {}),
      ...(options.onProgress ? { onProgress: options.onProgress } : {}),
    });
    return await saved(config.sae, measured, test, other);
  });
}

/** Whether the text is the run's own: on another one an SAE has other numbers than were recorded. */
export const isOwnText = ({ data, heldout }: Pick<EvalConfig, 'data' | 'heldout'>): boolean =>
  data === undefined && heldout === undefined;

/** @throws with the reasons when the SAE is wrong, unless the config allows it */
export function requireRight(
  { sae: location, allowWrong }: Pick<EvalConfig, 'sae' | 'allowWrong'>,
  sae: Sae,
  test: SelfTest,
): void {
  if (allowWrong) return;
  try {
    refuseWrong(sae, test, location);
  } catch (error) {
    throw new Error(`${(error as Error).message} To go on all the same: --allow-wrong.`);
  }
}

/** Writes what was measured, with what the self-test says of the SAE. */
async function saved(
  sae: string,
  measured: Measured,
  test: SelfTest | undefined,
  other?: string,
): Promise<Evaluated> {
  const note = [
    ...(test ? [`Self-test of the SAE on rows of this hook: ${selfTestText(test)}.`] : []),
    ...(other === undefined ? [] : [`Not where the SAE was trained: ${other}.`]),
  ];
  const { evaluation } = measured;
  const noted = {
    ...measured,
    evaluation: {
      ...evaluation,
      ...(test ? { selfTest: kept(test) } : {}),
      notes: [...evaluation.notes, ...note],
    },
  };
  if (other !== undefined) return { ...noted, files: [], elsewhere: other };
  const results = resultsFolder(sae);
  const measuredSae = await fingerprinted(noted, sae);
  const features = join(results, 'features');
  await saveMeasured(folderWriter(results), folderWriter(features), measuredSae);
  const cards = noted.cards ? [join(features, 'cards.json')] : [];
  return { ...measuredSae, files: [join(results, 'eval.json'), ...cards] };
}

/** The config of a run on stored activations, unless a model or a text is named to measure on instead. */
async function findStored({ sae, model, data, heldout }: EvalConfig): Promise<TrainConfig | undefined> {
  if (model !== undefined || data !== undefined || heldout !== undefined) return undefined;
  if (!existsSync(join(sae, 'run.json'))) return undefined;
  const { config } = await readRun(sae);
  return config.activations === undefined ? undefined : config;
}

/** On the held-out rows of the run: what can be measured without a model. */
async function evaluateStored(
  config: EvalConfig,
  run: TrainConfig,
  options: EvaluateSaeOptions,
): Promise<Evaluated> {
  const sae = await loadSae(config.sae);
  const { hook } = trainedAt(sae.config, await readRun(config.sae));
  if (config.hook !== undefined && config.hook !== hook)
    throw new UsageError(
      `${config.sae} was trained on stored activations${hook === undefined ? '' : ` of ${hook}`} and is measured on their held-out rows. To measure it at ${config.hook}, give --model and --data.`,
    );
  const frozen = config.controls ? await frozenControl(config, run, options) : undefined;
  return await withResources(async (own) => {
    const unread = await openSource(run, options, own);
    const plan = unread.plan(run, { folder: config.sae });
    const source = await unread.read();
    const { rows } = source.open(plan, [plan.settings.hook], { signal: options.signal });
    own(rows);
    const moments = createMoments(plan.D, { covariance: plan.D <= WIDEST_PCA });
    let test: SelfTest | undefined;
    for (;;) {
      const batch = moments.n < MOMENT_ROWS ? await rows.next(2048) : undefined;
      if (batch === undefined || rows.epochs > 0) break;
      if (!test) {
        const { signal } = options;
        test = await testOnRows(sae, config.sae, { x: batch.xs[0]! }, { compare: true, signal });
        requireRight(config, sae, test);
      }
      await moments.add(batch.xs[0]!, 2048);
    }
    const measured = await source.measure(
      { ...plan, config: { ...run, evalTokens: config.maxTokens, seed: config.seed } },
      sae,
      moments,
      {
        frozen,
        screen: config.screen,
        signal: options.signal,
        onProgress: options.onProgress,
      },
    );
    if (!measured)
      throw new UsageError(
        `The run held out no rows, so there is nothing to measure ${config.sae} on. Give --model and --data.`,
      );
    return await saved(config.sae, measured, test);
  });
}

/** Reads the folder; what the config leaves open comes from its run.json or the SAE's own metadata. */
export async function findTarget(
  config: Pick<
    EvalConfig,
    'sae' | 'model' | 'hook' | 'outputHook' | 'data' | 'heldout' | 'textField' | 'contextLength'
  >,
  access: HubAccess = {},
): Promise<EvalTarget> {
  const folder = await saeFolder(config.sae, access);
  await requireSae(folder);
  // By its name: a registry may say more of it than its files.
  const sae = await loadSae(config.sae, access);
  const earlier = existsSync(join(folder, 'run.json')) ? await readRun(folder) : undefined;
  const run = earlier && pinned(earlier.config, earlier.provenance);
  const { hook_name, hook_name_out, context_size } = sae.config.metadata;
  const model = config.model ?? run?.model;
  if (model === undefined)
    throw new UsageError(
      run
        ? `${config.sae} was trained on stored activations; to measure it in a model, give --model and --data.`
        : `${config.sae} is no run folder, so the model is not known. Give --model.`,
    );
  const hook = config.hook ?? (typeof hook_name === 'string' ? hook_name : run?.hook);
  if (hook === undefined)
    throw new UsageError(`${config.sae}/cfg.json does not say which hook the SAE reads. Give --hook.`);
  const said = typeof hook_name_out === 'string' ? hook_name_out : run?.outputHook;
  const outputHook = config.outputHook ?? said;
  if (sae.config.Dout !== undefined && outputHook === undefined && sae.config.places === undefined)
    throw new UsageError(
      `${config.sae} is a transcoder, and its folder does not say what it gives. Give --output-hook, such as blocks.1.hook_mlp_out.`,
    );
  if (sae.config.Dout === undefined && config.outputHook !== undefined)
    throw new UsageError(`--output-hook is of transcoders; ${config.sae} gives back what it reads.`);
  const data = config.data ?? config.heldout ?? run?.data;
  if (data === undefined)
    throw new UsageError(
      `${config.sae} is ${run ? 'a run on stored activations' : 'no run folder'}, so there is no text to measure on. Give --data or --heldout.`,
    );
  const heldout = config.heldout ?? (config.data === undefined ? run?.heldout : undefined);
  return {
    sae,
    test: await recordedTest(config.sae),
    folder,
    model,
    hook,
    outputHook: sae.config.Dout === undefined ? undefined : outputHook,
    data,
    heldout,
    textField: config.textField ?? run?.textField ?? 'text',
    contextLength: config.contextLength ?? (typeof context_size === 'number' ? context_size : undefined),
    excludeSpecial: run?.excludeSpecial ?? true,
    excludeFirst: run?.excludeFirst ?? 0,
    reading: {
      ...(run?.roles ? { roles: run.roles } : {}),
      ...(run?.stream === undefined ? {} : { stream: run.stream }),
      ...(run ? { keepNearDuplicates: run.keepNearDuplicates } : {}),
    },
    trained: trainedAt(sae.config, earlier),
    run,
  };
}

/** @throws when the model has no such hooks, or of other widths than the SAE; the model itself may be another one */
export function requireFit({ sae, hook, outputHook }: EvalTarget, model: Model): void {
  const reads = placeSae(model, sae, { hook, otherModel: true });
  if (sae.config.places === undefined) outputPlace(model, sae, reads, outputHook);
}

/** Mean and covariance of training activations; of held-out ones when there are no others. */
async function trainingMoments(
  model: Model,
  corpus: Corpus,
  target: EvalTarget,
  contextLength: number,
  signal: AbortSignal | undefined,
): Promise<Moments> {
  const { excludeSpecial, excludeFirst } = target;
  const stream = createActivationStreams({
    model,
    hooks: hooksOf(target),
    rows: packRows({
      documents: corpus.train.count > 0 ? corpus.train : corpus.heldout,
      tokenizer: tokenizerOf(model),
      contextLength,
      bosTokenId: model.info.bosTokenId,
      seed: 'moments',
      endless: false,
    }),
    shuffleTokens: 0,
    excludeSpecial,
    excludeFirst,
    batchSequences: MODEL_BATCH_SEQUENCES,
  });
  const D = stream.widths.reduce((sum, width) => sum + width, 0);
  const moments = createMoments(D, { covariance: D <= WIDEST_PCA });
  const chunk = 2048;
  try {
    while (moments.n < MOMENT_ROWS) {
      signal?.throwIfAborted();
      const rows = await stream.next(chunk);
      if (rows === undefined) break;
      await moments.add(sideBySide(rows.xs, chunk), chunk);
    }
  } finally {
    await stream.close();
  }
  if (moments.n < 2)
    throw new Error(
      `The data has fewer than ${chunk} tokens, too few for the mean and the controls. Add text.`,
    );
  return moments;
}

/** The control: the run's own config with a decoder that stays at its random start. */
async function frozenControl(
  config: EvalConfig,
  run: TrainConfig | undefined,
  options: EvaluateSaeOptions,
): Promise<Sae> {
  if (run === undefined)
    throw new UsageError(
      `--controls trains a frozen decoder with the budget of the run, but ${config.sae} has no run.json.`,
    );
  const folder = join(config.sae, 'controls', 'frozen-decoder');
  if (existsSync(join(folder, WEIGHTS_FILE))) return await loadSae(folder);
  const { training } = options;
  const settings = { folder, ...training, ...hubAccess(options) };
  // A control that was stopped half-way is continued.
  const begun = existsSync(join(folder, 'run.json'));
  // A control starts at random even where the run did not.
  const { initFrom: _, ...budget } = run;
  const { sae } = begun
    ? await resumeTraining(settings)
    : await trainSae({ ...budget, freeze: 'decoder', evalTokens: 0 }, settings);
  if (sae === undefined)
    throw new Interrupted(
      'The training of the frozen-decoder control was stopped; the same command goes on with it.',
    );
  return sae;
}
