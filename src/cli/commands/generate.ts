/** `saekit generate`: text from a model, with one latent's direction added, beside the text without it. */
import { text as readAll } from 'node:stream/consumers';
import type { Command } from 'commander';
import { openModel } from '../../models/index.ts';
import { selfTestText } from '../../sae/index.ts';
import { UsageError } from '../../shared/errors.ts';
import { type GenerateConfig, generateConfigSchema } from '../../shared/generate.ts';
import { findTarget, type SteerOptions, steeredSamples, writeText } from '../../workflows/index.ts';
import { addCommonFlags, type Context, withContext } from '../context.ts';
import { addFlags, givenFlags, parseConfig, readConfigFile } from '../flags.ts';
import { withDownloads } from '../output/downloads.ts';
import { tellMemory } from '../output/model-memory.ts';
import { samplesText } from '../output/samples.ts';
import { generateSteered } from './generate-steered.ts';

const example = `
Examples:
  saekit generate --model demo/model --prompt "The meeting will be held"
  saekit generate --model my-chat-model --chat --prompt "Name three rivers." --max-tokens 200 --temperature 0
  saekit generate --steer runs/first:1234=8 --prompt "The meeting will be held"
  saekit generate --steer "runs/first:1234=clamp:1.5max at generated if 12>3" runs/first:77=zero --prompt "The meeting will be held"

Changes are 8 or add:8, clamp:8, at-least:8, at-most:8, scale:0.5, zero, suppress, patch:TEXT and, of a whole SAE, splice. Three
continuations with the same seed: without, with the changes, and with the same changes in random directions of the same length.
A strength near the latent's own largest activation (saekit inspect shows it) is a good start.`;

export function addGenerateCommand(program: Command): void {
  const command = addCommonFlags(
    program
      .command('generate')
      .description('Continue a text, or answer one, steered or not.')
      .option('--config <file>', 'JSON file with the fields below in camelCase.'),
  );
  addFlags(command, generateConfigSchema);
  command.addHelpText('after', example).action(async () => {
    const flags = command.opts<{ config?: string; json?: boolean }>();
    const file = flags.config === undefined ? {} : await readConfigFile(flags.config, 'generate');
    const config = parseConfig(generateConfigSchema, {
      ...file,
      ...givenFlags(command, generateConfigSchema),
    });
    await withContext(flags, (context) => generate(config, context));
  });
}

/** The prompt that was given, or what comes in at standard input without its last line end. */
async function promptOf({ prompt }: GenerateConfig): Promise<string> {
  if (prompt !== undefined) return prompt;
  if (process.stdin.isTTY) throw new UsageError('Give --prompt, or pipe the text into standard input.');
  return (await readAll(process.stdin)).replace(/\r?\n$/, '');
}

async function generate(config: GenerateConfig, context: Context): Promise<void> {
  const { sae, latent, strength = 8, threads, device, lowMemory } = config;
  if (sae === undefined && latent !== undefined)
    throw new UsageError('--latent needs --sae: the folder of the SAE that it belongs to.');
  if (sae !== undefined && latent === undefined)
    throw new UsageError('--sae needs --latent: which latent to steer with. saekit inspect shows some.');
  if (sae !== undefined && config.steer !== undefined)
    throw new UsageError('--sae with --latent, or --steer: SAE:LATENT=STRENGTH says the same in one.');
  if (sae === undefined && config.steer === undefined && config.model === undefined)
    throw new UsageError('Give --model, or --steer (or --sae and --latent) to steer.');
  if (sae === undefined && config.strength !== undefined)
    throw new UsageError(
      `--strength goes with --sae and --latent${config.steer ? ': with --steer write it behind the =, such as SAE:LATENT=8' : ''}.`,
    );
  if (config.steer === undefined && (config.positions !== 'all' || !config.keepError))
    throw new UsageError('--positions and --no-keep-error go with --steer.');
  if (config.system !== undefined && !config.chat)
    throw new UsageError('--system needs --chat: it is a message of a conversation.');
  const { print, write, json, signal, style } = context;
  const { chat, system, maxTokens, temperature, topP, topK, minP, stop, seed } = config;
  const prompt = await promptOf(config);
  const writing: Omit<SteerOptions, 'hook' | 'latent' | 'strength'> = {
    ...{ prompt, chat, maxNewTokens: maxTokens, temperature, topP, seed, signal },
    ...(system === undefined ? {} : { system }),
    ...(topK === undefined ? {} : { topK }),
    ...(minP === undefined ? {} : { minP }),
    ...(stop === undefined ? {} : { stop }),
  };
  const open = (location: string) =>
    withDownloads(context, (access) =>
      openModel(location, {
        ...access,
        ...{ device, mapped: lowMemory },
        ...(threads === undefined ? {} : { threads }),
      }),
    );

  if (config.steer !== undefined) {
    await generateSteered(config, config.steer, { prompt, writing, open }, context);
    return;
  }
  if (sae === undefined || latent === undefined) {
    const model = await open(config.model!);
    try {
      tellMemory(model, context);
      const text = await writeText(model, json ? writing : { ...writing, onText: write });
      if (json) print(JSON.stringify({ prompt, text }));
      else write('\n');
    } finally {
      await model.close();
    }
    return;
  }
  const given = config.model === undefined ? {} : { model: config.model };
  const target = await withDownloads(context, (access) => findTarget({ sae, data: ['-'], ...given }, access));
  const model = await open(target.model);
  try {
    tellMemory(model, context);
    // A transcoder's latent writes where it gives, not where it reads.
    const hook = target.outputHook ?? target.hook;
    const steering = { hook, latent, strength, otherModel: config.allowWrong };
    const samples = await steeredSamples(model, target.sae, { ...writing, ...steering });
    print(
      json
        ? JSON.stringify({ ...config, strength, prompt, hook, ...samples, selfTest: target.test })
        : samplesText(samples, { prompt, latent, strength, selfTest: selfTestText(target.test) }, style),
    );
  } finally {
    await model.close();
  }
}
