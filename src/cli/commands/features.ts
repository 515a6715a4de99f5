/** `saekit features export` and `import`: dashboards to and from other programs. */
import type { Command } from 'commander';
import { exportFeaturesConfigSchema, importFeaturesConfigSchema } from '../../shared/exchange.ts';
import { exportFeatures, importFeatures } from '../../workflows/index.ts';
import { addCommonFlags, withContext } from '../context.ts';
import { addFlags, givenFlags, parseConfig } from '../flags.ts';
import { createCounter } from '../output/counter.ts';
import { grouped } from '../output/numbers.ts';

const exporting = `
Examples:
  saekit features export runs/first dashboards
  saekit features export runs/first viewer --to openai-viewer --latents 12 99`;
const importing = `
Examples:
  saekit features import runs/first downloaded/gpt2-small/6-res-jb
  saekit features import runs/first explanations/batch-0.jsonl.gz --partial --replace

Labels go to labels.jsonl, marked as imported; those that are there stay. A mismatch of model, layer, hook or
number of latents is refused; a part of an export is taken with --partial.`;

export function addFeaturesCommand(program: Command): void {
  const features = program.command('features').description('Feature dashboards to and from other programs.');
  const out = addCommonFlags(
    features
      .command('export')
      .description("Write Neuronpedia's batches, or the files of OpenAI's viewer, from feature tables.")
      .argument('[run]', 'The run; the same as --run.')
      .argument('[out]', 'The folder; the same as --out.'),
  );
  addFlags(out, exportFeaturesConfigSchema);
  out.addHelpText('after', exporting).action(async (run?: string, folder?: string) => {
    const config = parseConfig(exportFeaturesConfigSchema, {
      ...(run === undefined ? {} : { run }),
      ...(folder === undefined ? {} : { out: folder }),
      ...givenFlags(out, exportFeaturesConfigSchema),
    });
    await withContext(out.opts<{ json?: boolean }>(), async (context) => {
      const counter = createCounter(context, 'latents');
      try {
        const result = await exportFeatures(config, { signal: context.signal, onProgress: counter.update });
        counter.end();
        context.print(
          context.json
            ? JSON.stringify(result)
            : `${grouped(result.latents)} latents, ${grouped(result.passages)} passages in ${result.folder}`,
        );
      } finally {
        counter.end();
      }
    });
  });

  const into = addCommonFlags(
    features
      .command('import')
      .description("Take labels and dashboards from Neuronpedia's exports.")
      .argument('[run]', 'The run; the same as --run.')
      .argument('[files...]', 'Files or folders; the same as --files.'),
  );
  addFlags(into, importFeaturesConfigSchema);
  into.addHelpText('after', importing).action(async (run: string | undefined, files: string[]) => {
    const config = parseConfig(importFeaturesConfigSchema, {
      ...(run === undefined ? {} : { run }),
      ...(files.length === 0 ? {} : { files }),
      ...givenFlags(into, importFeaturesConfigSchema),
    });
    await withContext(into.opts<{ json?: boolean }>(), async (context) => {
      const result = await importFeatures(config, { signal: context.signal });
      if (context.json) return context.print(JSON.stringify(result));
      context.print(
        `${grouped(result.labels)} labels${result.kept > 0 ? ` (${grouped(result.kept)} latents kept theirs)` : ''}, ${grouped(result.cards)} cards in ${config.run}`,
      );
    });
  });
}
