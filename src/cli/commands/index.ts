/** `saekit index`: an SAE + text -> feature tables. */
import type { Command } from 'commander';
import { selfTestText } from '../../sae/index.ts';
import { Interrupted } from '../../shared/errors.ts';
import { indexConfigSchema } from '../../shared/feature-tables.ts';
import { indexSae } from '../../workflows/index.ts';
import { addCommonFlags, withContext } from '../context.ts';
import { addFlags, givenFlags, parseConfig, readConfigFile } from '../flags.ts';
import { createCounter } from '../output/counter.ts';
import { createDownloads } from '../output/downloads.ts';
import { grouped } from '../output/numbers.ts';

const example = `
Examples:
  saekit index runs/first
  saekit index demo/saes/blocks.3.hook_resid_post --max-tokens 200k --out tables
  saekit index runs/first --directions probe.safetensors --out probe-tables

Writes Parquet files that any engine reads: docs/feature-tables.md. Ctrl-C stops; the same command goes on.`;

export function addIndexCommand(program: Command): void {
  const command = addCommonFlags(
    program
      .command('index')
      .description(
        'Look up everything about every latent: examples, densities, groups, neighbours, output tokens.',
      )
      .argument('[sae]', 'The folder; the same as --sae.')
      .option('--config <file>', 'JSON file with the fields below in camelCase.'),
  );
  addFlags(command, indexConfigSchema);
  command.addHelpText('after', example).action(async (folder: string | undefined) => {
    const options = command.opts<{ config?: string; json?: boolean }>();
    const file = options.config === undefined ? {} : await readConfigFile(options.config, 'index');
    const config = parseConfig(indexConfigSchema, {
      ...(folder === undefined ? {} : { sae: folder }),
      ...file,
      ...givenFlags(command, indexConfigSchema),
    });
    await withContext(options, async (context) => {
      const downloads = createDownloads(context);
      const counters = {
        tokens: createCounter(context, 'tokens'),
        latents: createCounter(context, 'latents'),
      };
      const end = (): void => {
        downloads.end();
        counters.tokens.end();
        counters.latents.end();
      };
      try {
        const result = await indexSae(config, {
          ...downloads.access,
          onStart: ({ model, hook, documents, resumed }) =>
            context.note(
              `${model}, ${hook}: ${grouped(documents)} documents${resumed > 0 ? `; going on after ${grouped(resumed)} tokens` : ''}\n`,
            ),
          onProgress: (stage, done, total) => {
            if (stage === 'latents') counters.tokens.end();
            counters[stage].update(done, total);
          },
        });
        end();
        if (context.json) context.print(JSON.stringify(result));
        else
          context.print(
            `${grouped(result.activations)} activations of ${grouped(result.latents?.length ?? result.F)} ${result.names ? 'directions' : 'latents'} on ${grouped(result.tokens)} tokens of ${grouped(result.documents)} documents\nTables in ${result.folder}: latents, examples, activations, groups, tokens, documents (docs/feature-tables.md)${result.selfTest ? `\nSAE ${selfTestText(result.selfTest)}` : ''}`,
          );
      } catch (error) {
        end();
        if (context.signal.aborted && !(error instanceof Interrupted))
          throw new Interrupted('Stopped; the same command goes on. No table was changed.');
        throw error;
      }
    });
  });
}
