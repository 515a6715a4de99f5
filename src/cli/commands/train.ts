/** `saekit train`: model + hook + data -> run folder. */
import type { Command } from 'commander';
import { trainConfigSchema } from '../../shared/config.ts';
import { Interrupted } from '../../shared/errors.ts';
import { trainSae } from '../../workflows/index.ts';
import { addCommonFlags, type Context, withContext } from '../context.ts';
import { addFlags, givenFlags, parseConfig, readConfigFile } from '../flags.ts';
import { evalTable } from '../output/eval-table.ts';
import { bytes, duration, grouped } from '../output/numbers.ts';
import { planText } from '../output/plan.ts';
import { createTrainingReport } from '../output/training-report.ts';
import { stageLine } from '../output/training-view.ts';

const example = `
Examples:
  saekit train --model demo/model --data demo/corpus/train.jsonl.gz --tokens 1M
  saekit train --config train.json --latents 16384 --out runs/wide

A config file holds the same fields in camelCase; flags win over it:
  { "$schema": "docs/train-config.schema.json", "model": "demo/model", "data": ["texts/"], "latents": 8192 }

One dial first: --latents. Learning rate, warm-up, decay, AuxK, dead window and hook follow from it and the model, and are printed.
Ctrl-C saves the state; --resume continues from it with the same bits.`;

export function addTrainCommand(program: Command): void {
  const command = addCommonFlags(
    program
      .command('train')
      .description('Train a sparse autoencoder on the activations of a model.')
      .option('--config <file>', 'JSON file with the fields below in camelCase.')
      .option(
        '--out <folder>',
        'Run folder to make. Default: runs/<model>-<hook>-<latents>, with a number when it is there.',
      )
      .option('--resume', 'Continue the run in --out from its last checkpoint.')
      .option('--no-snippets', 'Do not show latents while training.'),
  );
  addFlags(command, trainConfigSchema);
  command.addHelpText('after', example).action(async () => {
    const options = command.opts<{
      config?: string;
      out?: string;
      resume?: boolean;
      snippets: boolean;
      json?: boolean;
    }>();
    const file = options.config === undefined ? {} : await readConfigFile(options.config);
    const config = parseConfig(trainConfigSchema, { ...file, ...givenFlags(command, trainConfigSchema) });
    await withContext(options, (context) => train(config, options, context));
  });
}

type TrainOptions = { readonly out?: string; readonly resume?: boolean; readonly snippets: boolean };

async function train(
  config: ReturnType<typeof trainConfigSchema.parse>,
  { out, resume = false, snippets }: TrainOptions,
  context: Context,
): Promise<void> {
  const { style, note, signal, json } = context;
  const report = createTrainingReport(context);
  const result = await trainSae(config, {
    ...(out === undefined ? {} : { folder: out }),
    resume,
    signal,
    onPlan: (plan) => note(planText(plan, style)),
    onData: (corpus) =>
      note(
        `  ${style.format('dim', 'documents')}  ${grouped(corpus.train.count)} for training, ${grouped(corpus.heldout.count)} held out (${corpus.split})\n`,
      ),
    onProgress: report.progress,
    ...(snippets && style.terminal ? { onSnippets: report.snippets } : {}),
  }).finally(report.end);

  if (result.interrupted) {
    throw new Interrupted(
      `Stopped at step ${result.step} of ${result.totalSteps}; the state is saved in ${result.folder}. Continue with: saekit train --resume --out ${result.folder} …`,
    );
  }
  note(
    `${stageLine(result.progress)} of ${duration(result.seconds)}; memory at its peak ${bytes(process.resourceUsage().maxRSS * 1024)}`,
  );
  if (result.evaluation) note(`\n${evalTable(result.evaluation, style)}`);
  note(`\nSaved in ${style.format('bold', result.folder)}. Look at it: saekit inspect ${result.folder}`);
  if (json) context.print(JSON.stringify(result.summary));
}
