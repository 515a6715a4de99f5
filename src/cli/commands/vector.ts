/** `saekit vector`: a direction of one's own from two sets of texts. */
import type { Command } from 'commander';
import { Option } from 'commander';
import { openModel } from '../../models/index.ts';
import { type VectorMethod, vectorMethods } from '../../steer/index.ts';
import { writeVector } from '../../workflows/index.ts';
import { addCommonFlags, withContext } from '../context.ts';
import { invocation } from '../invocation.ts';
import { withDownloads } from '../output/downloads.ts';

const example = `
Example:
  saekit vector --model demo/model --hook blocks.3.hook_resid_post --positive greek.txt --negative english.txt --out greek.safetensors
  saekit generate --steer greek.safetensors=2 --prompt "The meeting will be"

Strength 1 is the distance between the two sets. docs/steering.md has the formulas.`;

type Flags = {
  model: string;
  hook: string;
  positive: string;
  negative: string;
  out: string;
  method: VectorMethod;
  tokens: 'mean' | 'last';
  json?: boolean;
};

export function addVectorCommand(program: Command): void {
  const command = addCommonFlags(
    program
      .command('vector')
      .description('Make a direction to steer with from two sets of texts.')
      .requiredOption('--model <path>', 'Model folder, or org/name[@revision] of the hub.')
      .requiredOption('--hook <name>', 'Where the activations are read, and the direction added later.')
      .requiredOption(
        '--positive <file>',
        'Texts to go to, one a line; or a .jsonl file with `text` in each line.',
      )
      .requiredOption('--negative <file>', 'Texts to come from.')
      .requiredOption('--out <file>', 'A new .safetensors file.')
      .addOption(
        new Option('--method <name>', 'Difference of means, first principal component, or logistic probe.')
          .choices(vectorMethods)
          .default('mean'),
      )
      .addOption(
        new Option('--tokens <name>', 'What stands for a text: the mean of its tokens, or its last one.')
          .choices(['mean', 'last'])
          .default('mean'),
      ),
  );
  command.addHelpText('after', example).action(async () => {
    const { model: location, json: _, ...options } = command.opts<Flags>();
    await withContext(command.opts<Flags>(), async (context) => {
      const { print, json, signal } = context;
      const model = await withDownloads(context, (access) => openModel(location, access));
      try {
        const { vector, hook, metadata } = await writeVector(model, { ...options, signal });
        const length = Math.hypot(...vector);
        print(
          json
            ? JSON.stringify({ out: options.out, hook, length, ...metadata })
            : `${options.out}: ${metadata.method} of ${metadata.positive} against ${metadata.negative} texts at ${hook}, length ${length.toPrecision(3)}.\nSteer with it: ${invocation()} generate --model ${location} --steer ${options.out}=1 --prompt "…"`,
        );
      } finally {
        await model.close();
      }
    });
  });
}
