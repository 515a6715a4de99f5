/** `saekit demo`, which `npm start` runs: the bundled, finished run; one of its latents at work; then a fresh SAE on this machine. */
import { existsSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Command, Option } from 'commander';
import { openModel } from '../../models/index.ts';
import { loadSae, selfTestText } from '../../sae/index.ts';
import { type TrainConfigInput, trainConfigSchema } from '../../shared/config.ts';
import type { FeatureCard } from '../../shared/feature.ts';
import { shellWord } from '../../shared/shell-word.ts';
import {
  estimateTraining,
  findSteering,
  type Inspection,
  inspect,
  testOnText,
  trainSae,
} from '../../workflows/index.ts';
import { addCommonFlags, type Context, withContext } from '../context.ts';
import { parseCount } from '../flags.ts';
import { invocation } from '../invocation.ts';
import { cardText } from '../output/card.ts';
import { compactEval, mainRows } from '../output/compact-eval.ts';
import { duration, grouped, short } from '../output/numbers.ts';
import { samplesText } from '../output/samples.ts';
import type { Style } from '../output/style.ts';
import { wrap } from '../output/wrap.ts';
import { freeFolder, showTraining } from './train.ts';

/** The bundled model, corpus and SAEs lie beside dist/. */
const demoFolder = fileURLToPath(new URL('../../../demo', import.meta.url));
const CARDS = 12;
const ROWS = 4;

const example = `
Examples:
  saekit demo
  saekit demo --no-train
  saekit demo --seconds 30`;

type Flags = { readonly train: boolean; readonly seconds: number; readonly json?: boolean };
type Run = Inspection & { readonly kind: 'run' };

export function addDemoCommand(program: Command): void {
  const command = addCommonFlags(
    program
      .command('demo')
      .description('Show the bundled run, then train a fresh SAE on this machine (npm start).')
      .option('--no-train', 'Only show the finished run.')
      .addOption(
        new Option('--seconds <n>', 'How long the fresh training should take.')
          .argParser(parseCount)
          .default(100),
      ),
  );
  command.addHelpText('after', example).action(async () => {
    const flags = command.opts<Flags>();
    await withContext(flags, (context) => demo(flags, context));
  });
}

async function demo({ train, seconds }: Flags, context: Context): Promise<void> {
  const [shipped, ...others] = await findShipped();
  if (shipped) await showShipped(shipped, others, context);
  else context.note('No finished run is bundled here (demo/saes holds none).');
  if (!train) return;
  await trainFresh(shipped?.run, seconds, context);
}

type Shipped = { readonly folder: string; readonly run: Run };

/** The finished runs that ship with the package, those with feature cards, most latents first. */
async function findShipped(): Promise<Shipped[]> {
  const saes = join(demoFolder, 'saes');
  const names = existsSync(saes) ? readdirSync(saes).sort() : [];
  const found: Shipped[] = [];
  for (const name of names) {
    const folder = join(saes, name);
    if (!existsSync(join(folder, 'features', 'cards.json')) || !existsSync(join(folder, 'run.json')))
      continue;
    const run = await inspect(folder);
    if (run.kind === 'run') found.push({ folder, run });
  }
  return found.toSorted((a, b) => b.run.run.config.latents - a.run.run.config.latents);
}

const columnsOf = (style: Style): number => Math.min(style.columns - 1, 118);

async function showShipped(
  { folder, run }: Shipped,
  others: readonly Shipped[],
  context: Context,
): Promise<void> {
  const { print, style } = context;
  const { provenance, config, resolved } = run.run;
  const cards = run.cards?.cards ?? [];
  print(
    wrap(
      `A small language model (${short(provenance.model?.parameters ?? 0)} parameters) has read speeches, code, recipes, games and two dozen languages. A sparse autoencoder with ${grouped(config.latents)} latents was trained on its activations at ${resolved.hook}. Here are ${Math.min(CARDS, cards.length)} of the things that it found, most interesting first: where each fires, weak and strong, and which next tokens it raises and lowers.`,
      columnsOf(style),
    ).join('\n'),
  );
  for (const card of cards.slice(0, CARDS))
    print(`\n${cardText(card, { style, columns: columnsOf(style), rows: ROWS })}`);
  print(`\n${style.format('dim', wrap(foot(run), columnsOf(style)).join('\n'))}`);
  for (const path of [folder, ...others.map((other) => other.folder)])
    print(
      style.format(
        'dim',
        `${path === folder ? 'More of it' : 'Another one'}: ${invocation()} inspect ${shellWord(relative(process.cwd(), path))} --features 48`,
      ),
    );
  if (run.evaluation) print(`\n${compactEval(mainRows(run.evaluation, 'this SAE'), style)}`);
  await showSteering(folder, String(resolved.hook), cards, context);
}

function foot({ run }: Run): string {
  const end = run.finished ?? run.started;
  const minutes = (Date.parse(end) - Date.parse(run.started)) / 60_000;
  return `Trained on ${end.slice(0, 10)}, on ${short(run.step * run.config.batchTokens)} tokens in ${duration(minutes * 60)} (${run.provenance.machine}). What is marked as a guess is one by rule; the other labels were given by a person.`;
}

/** A sample with a latent turned up beside its twin without, and a random direction as the control. */
async function showSteering(
  folder: string,
  hook: string,
  cards: readonly FeatureCard[],
  { print, style, signal }: Context,
): Promise<void> {
  const sae = await loadSae(folder);
  const model = await openModel(join(demoFolder, 'model'));
  const prompt = 'The meeting will be held';
  try {
    const data = [join(demoFolder, 'corpus', 'heldout.jsonl.gz')];
    const selfTest = selfTestText(await testOnText(sae, folder, { model, hook, data, signal }));
    const sampling = { prompt, hook, maxNewTokens: 48, temperature: 0.7, topP: 0.95, seed: 1, signal };
    const found = await findSteering(model, sae, cards, sampling);
    if (found === undefined) return;
    const { card, strength, samples, passes } = found;
    print(
      `\n${style.format('bold', `What the model writes when #${card.latent} is turned up`)} ${style.format('dim', `(${card.label ?? card.guess})`)}\n`,
    );
    print(samplesText(samples, { prompt, latent: card.latent, strength, selfTest }, style));
    if (!passes)
      print(style.format('dim', '           By the rules of the checkers this is not yet such a text.'));
  } finally {
    await model.close();
  }
}

async function trainFresh(shipped: Run | undefined, seconds: number, context: Context): Promise<void> {
  const { print, note, style, signal } = context;
  const base: TrainConfigInput = {
    model: relative(process.cwd(), join(demoFolder, 'model')),
    data: [relative(process.cwd(), join(demoFolder, 'corpus', 'train.jsonl.gz'))],
    heldout: [relative(process.cwd(), join(demoFolder, 'corpus', 'heldout.jsonl.gz'))],
    latents: 4096,
    k: 32,
    // A run of minutes: the paper's defaults are for billions of tokens (bench/README.md).
    recipe: 'short',
    // Filled before the first step: a smaller one begins sooner, and documents are shuffled anyway.
    shuffleTokens: 32_768,
    evalTokens: 50_000,
  };
  print(`\n${style.format('bold', 'Now one of your own, on this computer')}`);
  note(style.format('dim', 'measuring its speed ...'));
  const config = trainConfigSchema.parse(base);
  const { time } = await estimateTraining(config, { folder: 'runs', signal });
  const speed = time.tokensPerSecond;
  const tokens = Math.max(20, Math.round((speed * seconds) / config.batchTokens)) * config.batchTokens;
  note(
    style.format(
      'dim',
      `${grouped(speed)} tokens/s, so ${short(tokens)} tokens take about ${duration(tokens / speed)}. Ctrl-C stops and saves.\n`,
    ),
  );
  const folder = freeFolder({ ...config, model: 'demo' });
  const result = await showTraining(
    (options) => trainSae({ ...config, tokens }, { ...options, folder }),
    { snippets: true, brief: true },
    context,
  );
  if (result.status === 'interrupted') {
    print(
      `\nStopped at step ${result.step}. Go on with: ${invocation()} train --resume ${shellWord(folder)}`,
    );
    return;
  }
  const { measured } = result;
  if (measured) {
    for (const card of measured.cards?.cards.slice(0, 3) ?? [])
      print(`\n${cardText(card, { style, columns: columnsOf(style), rows: ROWS })}`);
    const rows = mainRows(measured.evaluation, 'yours');
    const [bundled] = shipped?.evaluation?.candidates ?? [];
    print(
      `\n${compactEval(bundled ? [rows[0] as (typeof rows)[0], ['the bundled one', bundled], ...rows.slice(1)] : rows, style)}`,
    );
  }
  print(nextSteps(folder, measured?.cards?.cards[0], style));
}

function nextSteps(folder: string, card: FeatureCard | undefined, style: Style): string {
  const saekit = invocation();
  const steps = [
    [`${saekit} inspect ${folder}`, 'all that is known of your run'],
    [`${saekit} eval ${folder} --controls`, 'against a frozen decoder of the same budget'],
    [
      `${saekit} generate --sae ${folder} --latent ${card?.latent ?? 0} --strength 40 --prompt "I"`,
      'steer with any latent',
    ],
    [`${saekit} train --model <folder> --data <files>`, 'your own model and text'],
  ] as const;
  const lines = steps.map(([command, what]) => `  ${command}\n      ${style.format('dim', what)}`);
  return `\n${style.format('bold', 'What next')}\n${lines.join('\n')}`;
}
