#!/usr/bin/env node
/** The command line: `saekit <command>`. One file per command in commands/. */
import '../platform/node.ts';
import { readFile } from 'node:fs/promises';
import { Command } from 'commander';
import { addConvertCommand } from './commands/convert.ts';
import { addDemoCommand } from './commands/demo.ts';
import { addEvalCommand } from './commands/eval.ts';
import { addExportCommand } from './commands/export.ts';
import { addFeaturesCommand } from './commands/features.ts';
import { addGenerateCommand } from './commands/generate.ts';
import { addHarvestCommand } from './commands/harvest.ts';
import { addIndexCommand } from './commands/index.ts';
import { addInspectCommand } from './commands/inspect.ts';
import { addMcpCommand } from './commands/mcp.ts';
import { addModelsCommand } from './commands/models.ts';
import { addPlanCommand } from './commands/plan.ts';
import { addPushCommand } from './commands/push.ts';
import { addSaesCommand } from './commands/saes.ts';
import { addServeCommand } from './commands/serve.ts';
import { addSteerReportCommand } from './commands/steer-report.ts';
import { addTokenizeCommand } from './commands/tokenize.ts';
import { addTrainCommand } from './commands/train.ts';
import { addVectorCommand } from './commands/vector.ts';
import { describeFailure } from './errors.ts';

const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

const program = new Command('saekit')
  .description('Sparse autoencoders on real language models: train, measure, look inside, steer.')
  .version(version)
  .exitOverride()
  .showSuggestionAfterError()
  .configureHelp({ sortSubcommands: false })
  .addHelpText(
    'after',
    '\nExit status: 0 done, 1 failed, 2 bad usage, 130 stopped with Ctrl-C after saving.',
  );

addTrainCommand(program);
addPlanCommand(program);
addEvalCommand(program);
addTokenizeCommand(program);
addHarvestCommand(program);
addIndexCommand(program);
addFeaturesCommand(program);
addInspectCommand(program);
addModelsCommand(program);
addConvertCommand(program);
addSaesCommand(program);
addGenerateCommand(program);
addVectorCommand(program);
addExportCommand(program);
addServeCommand(program, version);
addMcpCommand(program, version);
addSteerReportCommand(program);
addPushCommand(program);
addDemoCommand(program);

// A closed pipe (`saekit inspect … | head`) is not an error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

try {
  await program.parseAsync();
} catch (error) {
  const { status, message } = describeFailure(error);
  if (message !== '') process.stderr.write(`${status === 130 ? '' : 'error: '}${message}\n`);
  if (process.argv.includes('--debug')) console.error(error);
  // Not process.exit(): a worker inside the engine would take the process down with status 134.
  process.exitCode = status;
}
