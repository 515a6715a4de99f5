/** `saekit push`: shows what of a run would go to the Hugging Face hub, and with --upload sends it. */
import { type Command, Option } from 'commander';
import { shellWord } from '../../shared/shell-word.ts';
import { type PushRunOptions, planPush, pushPlanned } from '../../workflows/index.ts';
import { addCommonFlags, withContext } from '../context.ts';
import { invocation } from '../invocation.ts';
import { createDownloads } from '../output/downloads.ts';
import { bytes } from '../output/numbers.ts';
import { planJson, pushPlanText } from '../output/push.ts';

const example = `
Examples:
  saekit push runs/first me/gpt2-sae                      shows the files and the card, contacts nobody
  saekit push runs/first me/gpt2-sae --upload             makes me/gpt2-sae if need be and commits them
  saekit push runs/first me/gpt2-sae --upload --private --license apache-2.0
  saekit push runs/first me/gpt2-sae --upload --revision v2

The access token is that of HF_TOKEN or of \`hf auth login\`. Checkpoints and controls stay here, local paths are reduced to file names. More: docs/hub.md`;

/** What was typed, so that it can be typed again. */
const commandLine = (): string => [invocation(), ...process.argv.slice(2).map(shellWord)].join(' ');

type Flags = Omit<PushRunOptions, 'signal' | 'onProgress'> & {
  readonly upload?: boolean;
  readonly json?: boolean;
};

export function addPushCommand(program: Command): void {
  const command = addCommonFlags(
    program
      .command('push')
      .description('Publish a finished run on the Hugging Face hub, with a model card.')
      .argument('<run>', 'Run folder or SAE folder.')
      .argument('<repo>', 'org/name, or org/name@branch.')
      .option('--upload', 'Really send it; without this nothing is sent and nobody asked.')
      .option('--private', 'Make a new repository private; refuse one that is there and public.')
      .option('--revision <branch>', 'Branch to commit to, made when it is not there. Default: main.')
      .option('--license <id>', 'Licence of the SAE, such as apache-2.0. Default: none is stated.')
      .option('--message <text>', 'Message of the commit.')
      .option('--no-features', 'Leave features/cards.json out: it quotes the held-out text.')
      .addOption(
        new Option(
          '--card <what>',
          'What to do with a README.md there that saekit did not write or that was edited since. Default: stop.',
        ).choices(['keep', 'replace']),
      ),
  );
  command.addHelpText('after', example).action(async (folder: string, repo: string) => {
    const { upload, json, ...options } = command.opts<Flags>();
    await withContext({ json: json === true }, async (context) => {
      const { print, note, signal, style } = context;
      const plan = await planPush(folder, repo, options);
      if (!upload) {
        print(
          json
            ? JSON.stringify(planJson(plan, options))
            : pushPlanText(plan, { ...options, style, again: commandLine() }),
        );
        return;
      }
      const total = plan.files.reduce((sum, file) => sum + file.bytes, 0);
      note(style.format('dim', `Sending ${plan.files.length} files, ${bytes(total)}, to ${plan.url}`));
      const progress = createDownloads(context);
      try {
        const onProgress = progress.access.onDownload;
        const pushed = await pushPlanned(plan, { ...options, signal, ...(onProgress ? { onProgress } : {}) });
        progress.end();
        if (json) print(JSON.stringify({ ...planJson(plan, options), uploaded: true, ...pushed }));
        else
          note(
            `${pushed.created ? 'Made the repository. ' : ''}Commit ${pushed.commit.slice(0, 12)}: ${plan.message}\n${pushed.url}`,
          );
      } finally {
        progress.end();
      }
    });
  });
}
