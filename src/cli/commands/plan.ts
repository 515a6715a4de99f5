/** `saekit plan`: what `saekit train` with the same flags would take. */
import { type Command, Option } from 'commander';
import { trainConfigSchema, trainFields } from '../../shared/config.ts';
import { UsageError } from '../../shared/errors.ts';
import { estimateTraining } from '../../workflows/index.ts';
import { addCommonFlags, withContext } from '../context.ts';
import { addFlags, givenFlags, parseConfig, parseNumber } from '../flags.ts';
import { withDownloads } from '../output/downloads.ts';
import { estimateText } from '../output/estimate.ts';
import { freeFolder, readTrainFile } from './train.ts';

const example = `
Examples:
  saekit plan --model demo/model --data demo/corpus/train.jsonl.gz --latents 16384 --tokens 50M
  saekit plan --config train.json --grid latents=4096,16384 seed=0,1,2
  saekit plan --activations activations/ --latents 65536
  saekit plan --width 12288 --latents 16777216 --k 192 --tokens 1000000000 --workers 1024 --shards 1024

Takes some seconds, with a large model a minute: the model reads some thousand tokens, the trainer does a few steps, both on this machine. Nothing is kept.`;

type Flags = {
  readonly config?: string;
  readonly out?: string;
  readonly grid?: readonly string[];
  readonly width?: number;
  readonly json?: boolean;
};

export function addPlanCommand(program: Command): void {
  const command = addCommonFlags(
    program
      .command('plan')
      .description('Say what a training run will take: memory, operations, time, disk. Flags as of train.')
      .option('--config <file>', 'JSON file with the fields below in camelCase.')
      .option('--out <folder>', 'Run folder that would be made: whose disk is looked at.')
      .option('--grid <field=values...>', 'As of train: several SAEs on the same rows.')
      .addOption(
        new Option(
          '--width <n>',
          'D of rows that are not there yet, instead of a model or activations: plans the SAE alone.',
        ).argParser(parseNumber),
      ),
  );
  addFlags(command, trainFields);
  command.addHelpText('after', example).action(async () => {
    const flags = command.opts<Flags>();
    const { width } = flags;
    const { fields, grid } = await readTrainFile(flags, givenFlags(command, trainFields));
    if (width !== undefined && ['model', 'data', 'activations'].some((name) => fields[name] !== undefined))
      throw new UsageError('--width plans rows that are not there: leave out model, data and activations.');
    if (width !== undefined && !(Number.isInteger(width) && width > 0))
      throw new UsageError(`--width: found ${width}, expected a positive whole number.`);
    const config =
      width === undefined ? parseConfig(trainConfigSchema, fields) : parseConfig(trainFields, fields);
    await withContext(flags, async (context) => {
      const { note, print, style, json } = context;
      if (style.terminal || json) note(style.format('dim', 'measuring this machine ...'));
      const folder = flags.out ?? freeFolder(config);
      const estimate = await withDownloads(context, (access) =>
        estimateTraining(config, { folder, grid, width, ...access }),
      );
      print(json ? JSON.stringify(estimate) : estimateText(estimate, style));
    });
  });
}
