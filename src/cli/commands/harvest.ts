/** `saekit harvest`: model + hooks + data -> activations on disk. */
import type { Command } from 'commander';
import { Interrupted, UsageError } from '../../shared/errors.ts';
import { harvestConfigSchema } from '../../shared/harvest.ts';
import { shellWord } from '../../shared/shell-word.ts';
import { type HarvestResult, harvest } from '../../workflows/index.ts';
import { addCommonFlags, withContext } from '../context.ts';
import { addFlags, givenFlags, parseConfig, readConfigFile } from '../flags.ts';
import { invocation } from '../invocation.ts';
import { createCounter } from '../output/counter.ts';
import { createDownloads } from '../output/downloads.ts';
import { harvestPlanText } from '../output/harvest-plan.ts';
import { duration, grouped } from '../output/numbers.ts';

const example = `
Examples:
  saekit harvest --model demo/model --data demo/corpus/train.jsonl.gz --tokens 500k --out acts
  saekit harvest --model my-model --data texts/ --hooks 'blocks.*.hook_resid_post' --dtype int8 --out all-layers
  saekit inspect acts --verify
  saekit train --activations acts --latents 8192

Held-out documents are the same as in train; their rows lie in OUT/heldout. Several hooks get a folder each, OUT/HOOK.
Ctrl-C stops after whole files; the same command goes on, and the files come out the same byte for byte. The format: docs/activations.md`;

export function addHarvestCommand(program: Command): void {
  const command = addCommonFlags(
    program
      .command('harvest')
      .description('Run a model once and keep its activations on disk, for many runs.')
      .option('--config <file>', 'JSON file with the fields below in camelCase.')
      .option('--out <folder>', 'Folder to make, or to go on in.'),
  );
  addFlags(command, harvestConfigSchema);
  command.addHelpText('after', example).action(async () => {
    const { out, ...flags } = command.opts<{ config?: string; out?: string; json?: boolean }>();
    const file = flags.config === undefined ? {} : await readConfigFile(flags.config, 'harvest');
    const config = parseConfig(harvestConfigSchema, {
      ...file,
      ...givenFlags(command, harvestConfigSchema),
    });
    if (out === undefined) throw new UsageError('--out is missing. Name the folder to make.');
    await withContext(flags, async (context) => {
      const { note, style } = context;
      const counter = createCounter(context, 'rows');
      let worked = false;
      const downloads = createDownloads(context);
      try {
        const result = await harvest(config, {
          folder: out,
          ...downloads.access,
          onPlan: (plan) => note(harvestPlanText(plan, style)),
          onCorpus: ({ train, heldout, split }) =>
            note(
              `  ${style.format('dim', 'text  ')}  ${grouped(train.count)} documents for training, ${grouped(heldout.count)} held out (${split})\n`,
            ),
          onProgress(done, total) {
            worked = true;
            counter.update(done, total);
          },
        });
        counter.end();
        if (context.json) context.print(JSON.stringify(result));
        report(result, { tokens: config.tokens, worked, note });
      } finally {
        downloads.end();
        counter.end();
      }
    });
  });
}

/** @throws Interrupted after a stop */
function report(
  { folder, status, seconds, hooks }: HarvestResult,
  {
    tokens,
    worked,
    note,
  }: { readonly tokens: number; readonly worked: boolean; readonly note: (text: string) => void },
): void {
  const rows = Math.min(...hooks.map((one) => one.rows));
  const heldout = Math.min(...hooks.map((one) => one.heldoutRows));
  const stored = `${grouped(rows)} rows for training and ${grouped(heldout)} held out${hooks.length > 1 ? `, at each of ${hooks.length} hooks` : ''}`;
  if (status === 'interrupted')
    throw new Interrupted(`Stopped with ${stored} stored in ${folder}. The same command goes on with it.`);
  const time = worked ? `in ${duration(seconds)}` : 'finished earlier';
  const ended = rows < tokens ? `. The data ended before ${grouped(tokens)} rows` : '';
  note(
    `${stored}, ${time}${ended}\nSaved in ${folder}. Look inside: ${invocation()} inspect ${shellWord(folder)}\nTrain on it: ${invocation()} train --activations ${shellWord(hooks[0]!.folder)}`,
  );
}
