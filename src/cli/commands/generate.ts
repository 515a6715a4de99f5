/** `saekit generate`: text from a model, with one latent's direction added, beside the text without it. */
import { type Command, Option } from 'commander';
import type { HubAccess } from '../../hub/types.ts';
import { openModel } from '../../models/index.ts';
import { UsageError } from '../../shared/errors.ts';
import { findTarget, steeredSamples } from '../../workflows/index.ts';
import { addCommonFlags, type Context, withContext } from '../context.ts';
import { parseNumber } from '../flags.ts';
import { createDownloads } from '../output/downloads.ts';
import { samplesText } from '../output/samples.ts';

const example = `
Examples:
  saekit generate --model demo/model --prompt "The meeting will be held"
  saekit generate --sae runs/first --latent 1234 --strength 8 --prompt "The meeting will be held"

Three continuations with the same seed: without, with the latent added, and with a random direction of the same length added.
A strength near the latent's own largest activation (saekit inspect shows it) is a good start.`;

type Flags = {
  readonly model?: string;
  readonly sae?: string;
  readonly latent?: number;
  readonly strength: number;
  readonly prompt: string;
  readonly tokens: number;
  readonly temperature: number;
  readonly topP: number;
  readonly seed: number;
  readonly json?: boolean;
};

export function addGenerateCommand(program: Command): void {
  const number = (flags: string, description: string, value?: number): Option => {
    const option = new Option(flags, description).argParser(parseNumber);
    return value === undefined ? option : option.default(value);
  };
  const command = addCommonFlags(
    program
      .command('generate')
      .description('Continue a text, steered by one latent or not.')
      .requiredOption('--prompt <text>', 'The beginning of the text.')
      .option(
        '--model <folder>',
        'Model folder, or org/name of the hub. Default: the one the SAE was trained on.',
      )
      .option('--sae <folder>', 'Run folder, SAE folder, or org/name of the hub, to steer with.')
      .addOption(number('--latent <n>', 'Latent whose decoder row is added to the residual stream.'))
      .addOption(number('--strength <x>', 'How much of it, in units of its activation.', 8))
      .addOption(number('--tokens <n>', 'Tokens to write.', 48))
      .addOption(number('--temperature <x>', '0 takes the likeliest token.', 0.7))
      .addOption(
        number('--top-p <x>', 'Sample among the likeliest tokens that make up this probability.', 0.95),
      )
      .addOption(number('--seed <n>', 'The same seed gives the same text.', 0)),
  );
  command.addHelpText('after', example).action(async () => {
    const flags = command.opts<Flags>();
    await withContext(flags, (context) => generate(flags, context));
  });
}

/** Runs what may download, shown as it comes. */
async function withDownloads<T>(context: Context, open: (access: HubAccess) => Promise<T>): Promise<T> {
  const downloads = createDownloads(context);
  try {
    return await open(downloads.access);
  } finally {
    downloads.end();
  }
}

async function generate(flags: Flags, context: Context): Promise<void> {
  const { print, json, signal, style } = context;
  const sampling = {
    maxNewTokens: flags.tokens,
    temperature: flags.temperature,
    topP: flags.topP,
    seed: flags.seed,
    signal,
  };
  if (flags.sae === undefined) {
    if (flags.latent !== undefined)
      throw new UsageError('--latent needs --sae: the folder of the SAE that it belongs to.');
    const { model: location } = flags;
    if (location === undefined) throw new UsageError('Give --model, or --sae and --latent to steer.');
    const model = await withDownloads(context, (access) => openModel(location, access));
    try {
      const text = await model.generate(flags.prompt, sampling);
      print(json ? JSON.stringify({ prompt: flags.prompt, text }) : text);
    } finally {
      await model.close();
    }
    return;
  }
  const { latent } = flags;
  if (latent === undefined)
    throw new UsageError('--sae needs --latent: which latent to steer with. saekit inspect shows some.');
  const { sae } = flags;
  const given = flags.model === undefined ? {} : { model: flags.model };
  const target = await withDownloads(context, (access) => findTarget({ sae, data: ['-'], ...given }, access));
  const model = await withDownloads(context, (access) => openModel(target.model, access));
  try {
    const samples = await steeredSamples(model, target.sae, {
      ...sampling,
      prompt: flags.prompt,
      hook: target.hook,
      latent,
      strength: flags.strength,
    });
    print(
      json
        ? JSON.stringify({ ...flags, hook: target.hook, ...samples })
        : samplesText(samples, { prompt: flags.prompt, latent, strength: flags.strength }, style),
    );
  } finally {
    await model.close();
  }
}
