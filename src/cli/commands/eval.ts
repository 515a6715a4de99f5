/** `saekit eval`: a finished SAE and its controls on held-out text -> eval.json and a table. */
import type { Command } from 'commander';
import { formatEvalTable } from '../../eval/index.ts';
import { describeSae } from '../../sae/index.ts';
import { evalConfigSchema } from '../../shared/config.ts';
import { Interrupted } from '../../shared/errors.ts';

import { evaluateSae, modelMemoryText } from '../../workflows/index.ts';
import { addCommonFlags, withContext } from '../context.ts';
import { addFlags, givenFlags, parseConfig, readConfigFile } from '../flags.ts';
import { createCounter } from '../output/counter.ts';
import { createDownloads } from '../output/downloads.ts';
import { grouped } from '../output/numbers.ts';
import { planText } from '../output/plan.ts';
import { createTrainingReport } from '../output/training-report.ts';

const example = `
Examples:
  saekit eval --sae runs/first
  saekit eval --sae runs/first --controls                    also against a frozen decoder of the same budget
  saekit eval --sae downloaded/sae --model openai-community/gpt2 --data texts/ --max-tokens 100k

Model, hook and text come from the run folder unless they are given. What the numbers mean: docs/metrics.md`;

export function addEvalCommand(program: Command): void {
  const command = addCommonFlags(
    program
      .command('eval')
      .description('Measure an SAE and its controls on held-out text.')
      .argument('[sae]', 'The folder; the same as --sae.')
      .option('--config <file>', 'JSON file with the fields below in camelCase.'),
  );
  addFlags(command, evalConfigSchema);
  command.addHelpText('after', example).action(async (folder: string | undefined) => {
    const options = command.opts<{ config?: string; json?: boolean }>();
    const file = options.config === undefined ? {} : await readConfigFile(options.config, 'eval');
    const config = parseConfig(evalConfigSchema, {
      ...(folder === undefined ? {} : { sae: folder }),
      ...file,
      ...givenFlags(command, evalConfigSchema),
    });
    await withContext(options, async (context) => {
      const { style, note, signal, json } = context;
      const downloads = createDownloads(context);
      const counter = createCounter(context, 'held-out tokens');
      const report = createTrainingReport(context);
      try {
        const { evaluation, files, elsewhere } = await evaluateSae(config, {
          ...downloads.access,
          onTarget: ({ hook, sae }, model, corpus, memory) => {
            report.end();
            note(
              `${model.info.name}, ${hook}: ${describeSae(sae.config)} on ${grouped(corpus.heldout.count)} held-out documents; ${modelMemoryText(memory)}\n`,
            );
          },
          onProgress: counter.update,
          training: {
            onPlan: (plan) =>
              note(
                `${style.format('bold', 'First the control: a frozen decoder')}\n${planText(plan, style)}\n`,
              ),
            onProgress: report.progress,
          },
        });
        counter.end();
        if (json) context.print(JSON.stringify(evaluation));
        else context.print(formatEvalTable(evaluation));
        if (elsewhere !== undefined)
          note(`\nNot saved, and not compared with what was recorded: ${elsewhere}.`);
        else if (!json) note(`\nSaved: ${files.join(', ')}`);
      } catch (error) {
        if (signal.aborted && !(error instanceof Interrupted))
          throw new Interrupted('Stopped; no eval.json was written.');
        throw error;
      } finally {
        downloads.end();
        counter.end();
        report.end();
      }
    });
  });
}
