/** `saekit tokenize`: data + tokenizer -> a folder of packed rows. */
import type { Command } from 'commander';
import { tokenizeConfigSchema } from '../../shared/config.ts';
import { UsageError } from '../../shared/errors.ts';
import { shellWord } from '../../shared/shell-word.ts';
import { tokenize } from '../../workflows/index.ts';
import { addCommonFlags, withContext } from '../context.ts';
import { addFlags, givenFlags, parseConfig, readConfigFile } from '../flags.ts';
import { invocation } from '../invocation.ts';
import { createRate } from '../output/counter.ts';
import { createDownloads } from '../output/downloads.ts';
import { grouped } from '../output/numbers.ts';

const example = `
Examples:
  saekit tokenize --model demo/model --data demo/corpus/train.jsonl.gz --out tokens
  saekit tokenize --model my-chat-model --data chats.jsonl --text-field messages --roles assistant --out chats
  saekit train --model demo/model --data tokens

The rows are those that train would pack itself with the same seed; any run with this tokenizer may read them. What data may be: docs/data.md`;

export function addTokenizeCommand(program: Command): void {
  const command = addCommonFlags(
    program
      .command('tokenize')
      .description('Tokenize data once, into a folder that train and eval take as --data.')
      .option('--config <file>', 'JSON file with the fields below in camelCase.')
      .option('--out <folder>', 'Folder to make.'),
  );
  addFlags(command, tokenizeConfigSchema);
  command.addHelpText('after', example).action(async () => {
    const { out, ...flags } = command.opts<{ config?: string; out?: string; json?: boolean }>();
    const file = flags.config === undefined ? {} : await readConfigFile(flags.config, 'tokenize');
    const config = parseConfig(tokenizeConfigSchema, {
      ...file,
      ...givenFlags(command, tokenizeConfigSchema),
    });
    if (out === undefined) throw new UsageError('--out is missing. Name the folder to make.');
    await withContext(flags, async (context) => {
      const rate = createRate(context, 'tokens');
      const downloads = createDownloads(context);
      try {
        const manifest = await tokenize(config, {
          folder: out,
          ...downloads.access,
          onProgress: rate.update,
        });
        rate.end();
        const { train, heldout, contextLength } = manifest;
        context.note(
          `${grouped(train.tokens)} tokens for training and ${grouped(heldout.tokens)} held out, in rows of ${contextLength}; ${manifest.split}\nSaved in ${out}. Train on it: ${invocation()} train --model ${shellWord(config.model)} --data ${shellWord(out)}`,
        );
        if (context.json) context.print(JSON.stringify({ folder: out, ...manifest }));
      } finally {
        downloads.end();
        rate.end();
      }
    });
  });
}
