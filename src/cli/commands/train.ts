/** `saekit train`: model + hook + data -> run folder. */
import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Command } from 'commander';
import { formatEvalTable } from '../../eval/index.ts';
import { type TrainConfig, trainConfigSchema } from '../../shared/config.ts';
import { Interrupted, UsageError } from '../../shared/errors.ts';
import { type Grid, gridSchema } from '../../shared/grid.ts';
import { shellWord } from '../../shared/shell-word.ts';
import {
  GRID_FILE,
  resumeTraining,
  type TrainOptions,
  type TrainResult,
  trainSae,
} from '../../workflows/index.ts';
import { addCommonFlags, type Context, withContext } from '../context.ts';
import { addFlags, givenFlags, parseConfig, readConfigFile } from '../flags.ts';
import { invocation } from '../invocation.ts';
import { createCounter } from '../output/counter.ts';
import { createDownloads } from '../output/downloads.ts';
import { bytes, duration, grouped } from '../output/numbers.ts';
import { briefPlan, planText } from '../output/plan.ts';
import { trainingRemarks } from '../output/training-remarks.ts';
import { createTrainingReport } from '../output/training-report.ts';
import { stageLine } from '../output/training-view.ts';
import { parseGrid, trainGridCommand } from './train-grid.ts';

const example = `
Examples:
  saekit train --model demo/model --data demo/corpus/train.jsonl.gz --tokens 1M
  saekit train --model HuggingFaceTB/SmolLM2-135M --data HuggingFaceFW/fineweb:sample-10BT --tokens 50M
  saekit train --config train.json --latents 16384 --out runs/wide
  saekit train --resume runs/wide
  saekit train --activations activations/ --latents 16384
  saekit train --config train.json --grid latents=4096,16384 seed=0,1,2 --out runs/grid
  saekit train --model demo/model --data demo/corpus/train.jsonl.gz --init-from runs/wide --latents 16384 --lr 1e-5

A config file holds the same fields in camelCase; flags win over it:
  { "$schema": "docs/train-config.schema.json", "model": "demo/model", "data": ["texts/"], "latents": 8192 }

One dial first: --latents. Learning rate, warm-up, decay, AuxK, dead window and hook follow from it and from the model, and are printed.
Ctrl-C stops after the step and saves; --resume goes on with the same bits.`;

type Flags = {
  readonly config?: string;
  readonly out?: string;
  readonly resume?: string;
  readonly grid?: readonly string[];
  readonly logTo?: string;
  readonly snippets: boolean;
  readonly json?: boolean;
};

export function addTrainCommand(program: Command): void {
  const command = addCommonFlags(
    program
      .command('train')
      .description('Train a sparse autoencoder on the activations of a model.')
      .option('--config <file>', 'JSON file with the fields below in camelCase.')
      .option(
        '--out <folder>',
        'Run folder to make. Default: runs/<model>-<latents>, numbered when it is there.',
      )
      .option(
        '--resume <folder>',
        'Continue the run in this folder from its last checkpoint; --workers may be another number.',
      )
      .option(
        '--log-to <url>',
        'Post every line of metrics.jsonl there as JSON; a token in SAEKIT_LOG_TOKEN goes with it.',
      )
      .option(
        '--grid <field=values...>',
        'Train one SAE per combination on the same rows, such as latents=2048,4096 seed=0,1.',
      )
      .option('--no-snippets', 'Do not show latents while training.'),
  );
  addFlags(command, trainConfigSchema);
  command.addHelpText('after', example).action(async () => {
    const flags = command.opts<Flags>();
    const given = givenFlags(command, trainConfigSchema);
    if (flags.resume !== undefined) {
      const { workers, ...others } = given as { workers?: number };
      const extra = [
        ...Object.keys(others),
        ...(flags.config === undefined ? [] : ['config']),
        ...(flags.out === undefined ? [] : ['out']),
        ...(flags.grid === undefined ? [] : ['grid']),
      ];
      if (extra.length > 0)
        throw new UsageError(
          `--resume continues a run as it was begun; it takes no ${extra.join(', ')}. Only --workers may change; start a new run for the rest.`,
        );
      const folder = flags.resume;
      if (existsSync(join(folder, GRID_FILE)))
        return await withContext(flags, (context) =>
          trainGridCommand('resume', { folder, workers, ...logTarget(flags) }, context),
        );
      return await withContext(flags, (context) =>
        train(
          (options) => resumeTraining({ ...options, ...logTarget(flags), folder, workers }),
          flags,
          context,
        ),
      );
    }
    const { fields, grid } = await readTrainFile(flags, given);
    const config = parseConfig(trainConfigSchema, fields);
    const folder = flags.out ?? freeFolder(config);
    if (grid)
      return await withContext(flags, (context) =>
        trainGridCommand({ config, grid }, { folder, ...logTarget(flags) }, context),
      );
    return await withContext(flags, (context) =>
      train((options) => trainSae(config, { ...options, ...logTarget(flags), folder }), flags, context),
    );
  });
}

/** The fields of a run from its config file and its flags, and its grid from either; flags win. */
export async function readTrainFile(
  { config, grid }: Pick<Flags, 'config' | 'grid'>,
  given: Readonly<Record<string, unknown>>,
): Promise<{ fields: Record<string, unknown>; grid: Grid | undefined }> {
  const { grid: inFile, ...file } = config === undefined ? {} : await readConfigFile(config, 'train');
  return {
    fields: { ...file, ...given },
    grid: grid
      ? parseGrid(grid)
      : inFile === undefined
        ? undefined
        : parseConfig(gridSchema, inFile as Record<string, unknown>),
  };
}

function logTarget({ logTo }: Pick<Flags, 'logTo'>): Pick<TrainOptions, 'logTo'> {
  return logTo === undefined ? {} : { logTo: { url: logTo, token: process.env.SAEKIT_LOG_TOKEN } };
}

/** runs/<model>-<latents>, or after the activations, with -2, -3, … when that is taken. */
export function freeFolder({
  model,
  activations = '',
  latents,
}: Pick<TrainConfig, 'model' | 'activations' | 'latents'>): string {
  const origin = model?.replace(/^([^/@]+\/[^/@]+)@.*$/, '$1') ?? activations.replace(/#.*$/, '');
  const last = basename(origin.replace(/[\\/]+$/, '')).replace(/^ollama:|\.gguf$/g, '');
  const name = `runs/${last.replaceAll(':', '-') || 'model'}-${latents}`;
  for (let i = 1; ; i++) {
    const folder = i === 1 ? name : `${name}-${i}`;
    if (!existsSync(folder)) return folder;
  }
}

/** The part of a training run that a person sees. */
async function train(
  start: (options: Omit<TrainOptions, 'folder'>) => Promise<TrainResult>,
  { snippets }: Pick<Flags, 'snippets'>,
  context: Context,
): Promise<void> {
  const result = await showTraining(start, { snippets }, context);
  const { folder, step, plan, progress, logged } = result;
  if (logged)
    context.note(
      `\n${grouped(logged.sent)} lines of metrics sent${logged.dropped === 0 ? '' : `, ${grouped(logged.dropped)} lost: ${logged.reason}; all of them are in metrics.jsonl`}`,
    );
  if (result.status === 'interrupted')
    throw new Interrupted(
      `${step === 0 ? 'Stopped before the first step, so there is no state yet; begin' : `Stopped at step ${step} of ${plan.settings.totalSteps}. The state is saved; go on`} with: ${invocation()} train --resume ${shellWord(folder)}`,
    );
  if (result.measured) context.note(`\n${formatEvalTable(result.measured.evaluation)}`);
  for (const remark of trainingRemarks(result, context.signal.aborted)) context.note(`\n${remark}`);
  context.note(`\nSaved in ${folder}. Look inside: ${invocation()} inspect ${shellWord(folder)}`);
  if (context.json) {
    context.print(
      JSON.stringify({
        folder,
        status: result.status,
        step,
        seconds: result.seconds,
        progress,
        evaluation: result.measured?.evaluation,
        logged,
      }),
    );
  }
}

/** Runs training with its live view; the last line says where the time and the memory went. */
export async function showTraining(
  start: (options: Omit<TrainOptions, 'folder'>) => Promise<TrainResult>,
  { snippets, brief = false }: { readonly snippets: boolean; readonly brief?: boolean },
  context: Context,
): Promise<TrainResult> {
  const { style, note } = context;
  const downloads = createDownloads(context);
  const report = createTrainingReport(context);
  const filling = createCounter(context, 'first activations');
  const counter = createCounter(context, 'held-out tokens');
  try {
    const result = await start({
      ...downloads.access,
      onPlan: (plan) => note(brief ? briefPlan(plan, style) : planText(plan, style)),
      onCorpus: ({ train, heldout }) =>
        note(
          `  ${style.format('dim', 'text'.padEnd(brief ? 6 : 7))}  ${grouped(train.count)} documents for training, ${grouped(heldout.count)} held out\n`,
        ),
      onFill: filling.update,
      onProgress: (progress) => {
        filling.end();
        report.progress(progress);
      },
      ...(snippets && style.terminal ? { onSnippets: report.snippets } : {}),
      onEvaluate: (done, total) => {
        report.end();
        counter.update(done, total);
      },
    });
    if (result.progress) {
      filling.end();
      report.end();
      counter.end();
      note(
        style.format(
          'dim',
          `  ${grouped(result.progress.tokens)} tokens in ${duration(result.seconds)}: ${stageLine(result.progress)}; peak ${bytes(result.peakBytes)}`,
        ),
      );
    }
    return result;
  } finally {
    downloads.end();
    filling.end();
    report.end();
    counter.end();
  }
}
