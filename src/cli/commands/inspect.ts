/** `saekit inspect`: what is in a run, an SAE, a model folder or a corpus file. */
import { type Command, Option } from 'commander';
import { inspect } from '../../workflows/index.ts';
import { addCommonFlags, withContext } from '../context.ts';
import { parseNumber } from '../flags.ts';
import { inspectionText } from '../output/inspection.ts';

const example = `
Examples:
  saekit inspect runs/first                   progress, metrics, evaluation, features
  saekit inspect demo/model                   its shape and every hook that can be read
  saekit inspect demo/corpus/train.jsonl.gz   documents, held-out part, registers`;

export function addInspectCommand(program: Command): void {
  const command = addCommonFlags(
    program
      .command('inspect')
      .description('Say what is in a run, an SAE, a model folder or a corpus.')
      .argument('<path>', 'The folder or file.')
      .option('--text-field <name>', 'JSONL field that holds the text.', 'text')
      .addOption(new Option('--features <n>', 'Feature cards to show.').argParser(parseNumber).default(3)),
  );
  command.addHelpText('after', example).action(async (path: string) => {
    const { json, textField, features } = command.opts<{
      json?: boolean;
      textField: string;
      features: number;
    }>();
    await withContext({ json: json === true }, async ({ print, style }) => {
      const found = await inspect(path, { textField });
      print(json ? JSON.stringify(found) : inspectionText(path, found, { style, features }));
    });
  });
}
