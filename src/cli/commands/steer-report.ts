/** `saekit steer-report`: what steering with some latents does, by dose and beside its controls -> one HTML page and its numbers. */
import { join } from 'node:path';
import type { Command } from 'commander';
import { Interrupted } from '../../shared/errors.ts';
import { steerReportConfigSchema } from '../../shared/steer-report.ts';
import { modelMemoryText, reportFiles, steerReport } from '../../workflows/index.ts';
import { addCommonFlags, withContext } from '../context.ts';
import { addFlags, givenFlags, parseConfig, readConfigFile } from '../flags.ts';
import { createCounter } from '../output/counter.ts';
import { createDownloads } from '../output/downloads.ts';
import { duration, grouped } from '../output/numbers.ts';
import { steerReportText } from '../output/steer-report.ts';

const example = `
Examples:
  saekit steer-report runs/first --latents 1234
  saekit steer-report demo/saes/blocks.3.hook_resid_post --register dna          latents chosen by activation and by output effect
  saekit steer-report runs/first --positive angry/ --negative calm/ --strengths 1 2 4 --out reports/anger

After Ctrl-C the same command goes on with what is measured already. What the page shows: docs/steering-report.md`;

const STAGES = {
  latents: 'held-out tokens',
  'output effect': 'latents screened',
  candidates: 'candidates',
} as const;

/** The first two candidates are the model as it is; the batch of steered ones after them is what the others take. */
const UNSTEERED = 2;
const WORTH_SAYING_S = 5;

export function addSteerReportCommand(program: Command): void {
  const command = addCommonFlags(
    program
      .command('steer-report')
      .description('Measure what steering with a latent does, beside controls that push as far.')
      .argument('[sae]', 'The folder; the same as --sae.')
      .option('--config <file>', 'JSON file with the fields below in camelCase.'),
  );
  addFlags(command, steerReportConfigSchema);
  command.addHelpText('after', example).action(async (folder: string | undefined) => {
    const options = command.opts<{ config?: string; json?: boolean }>();
    const file = options.config === undefined ? {} : await readConfigFile(options.config, 'steer-report');
    const config = parseConfig(steerReportConfigSchema, {
      ...(folder === undefined ? {} : { sae: folder }),
      ...file,
      ...givenFlags(command, steerReportConfigSchema),
    });
    await withContext(options, async (context) => {
      const { print, note, json, signal, style } = context;
      const downloads = createDownloads(context);
      let stage: keyof typeof STAGES | undefined;
      let started = 0;
      let told = false;
      let counter = createCounter(context, '');
      try {
        const { report, folder: written } = await steerReport(config, {
          ...downloads.access,
          onTarget: ({ hook }, model, memory) =>
            note(`${model.info.name}, ${hook}${memory ? `; ${modelMemoryText(memory)}` : ''}`),
          onProgress: (progress) => {
            const { done, total } = progress;
            if (progress.stage !== stage) {
              counter.end();
              stage = progress.stage;
              counter = createCounter(context, STAGES[stage]);
              started = performance.now();
              if (stage === 'candidates')
                note(
                  `${grouped(total)} candidates, each writes ${config.samples} texts of ${config.maxTokens} tokens`,
                );
            }
            if (stage === 'candidates' && !told && done > UNSTEERED) {
              told = true;
              const left = ((performance.now() - started) / 1000 / done) * (total - done);
              if (left > WORTH_SAYING_S)
                note(`This takes about ${duration(left)} more; after Ctrl-C the same command goes on`);
            }
            counter.update(done, total);
          },
        });
        counter.end();
        print(json ? JSON.stringify(report) : steerReportText(report, style));
        note(`\nSaved: ${join(written, reportFiles.page)}, ${join(written, reportFiles.data)}`);
      } catch (error) {
        if (signal.aborted && !(error instanceof Interrupted))
          throw new Interrupted(
            stage === 'candidates'
              ? 'Stopped; what was measured is kept, and the same command goes on.'
              : 'Stopped.',
          );
        throw error;
      } finally {
        downloads.end();
        counter.end();
      }
    });
  });
}
