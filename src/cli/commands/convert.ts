/** `saekit convert`: an SAE from one format to another. */
import type { Command } from 'commander';
import { writtenFormats } from '../../sae/index.ts';
import { convertSae } from '../../workflows/index.ts';
import { addCommonFlags, withContext } from '../context.ts';
import { withDownloads } from '../output/downloads.ts';
import { convertedText } from '../output/sae.ts';

const example = `
Examples:
  saekit convert runs/first --to sparsify out/
  saekit convert trainer_0/ae.pt --to saelens out/           dictionary_learning -> SAELens
  saekit convert google/gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71 --to saelens out/
  saekit convert runs/first --to onnx out/                   encoder, decoder and round trip as graphs
  saekit convert sae/ --to saelens out/ --activations acts   measured first: L0 and FVU beside what was recorded

Reads SAELens (3 to 6), sparsify, dictionary_learning, Gemma Scope (1, 2), Llama Scope, Llamascopium, OpenAI, Qwen Scope, Goodfire, circuit-tracer, temporal SAEs
and what saekit wrote as ONNX; docs/saes.md has the details.`;

export function addConvertCommand(program: Command): void {
  const command = addCommonFlags(
    program
      .command('convert')
      .description('Write an SAE of any format in another one.')
      .argument('<sae>', 'Folder, file, or org/name[@revision]/path of the hub.')
      .argument('<out>', 'A new folder.')
      .requiredOption('--to <format>', `What to write: ${writtenFormats.join(', ')}.`)
      .option(
        '--activations <path>',
        'Activations of its hook: the SAE is measured on them first, and refused when it is wrong.',
      ),
  );
  command.addHelpText('after', example).action(async (sae: string, out: string) => {
    const flags = command.opts<{ to: string; activations?: string; json?: boolean }>();
    await withContext(flags, async (context) => {
      const { print, style, json } = context;
      const { to, activations } = flags;
      const done = await withDownloads(context, (access) =>
        convertSae(sae, out, { ...access, to, ...(activations === undefined ? {} : { activations }) }),
      );
      print(json ? JSON.stringify(done) : convertedText(out, done, style));
    });
  });
}
