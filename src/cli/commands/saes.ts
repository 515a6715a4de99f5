/** `saekit saes search`: published SAEs by name, from SAELens's registry. */
import type { Command } from 'commander';
import { readRegistry, searchRegistry, unreadable } from '../../hub/index.ts';
import { addCommonFlags, withContext } from '../context.ts';
import { withDownloads } from '../output/downloads.ts';
import { table } from '../output/table.ts';

/** More than these are counted, not shown. */
const SHOWN = 40;

const example = `
Examples:
  saekit saes search gpt2-small
  saekit saes search gemma-scope-2b layer_20 16k
  saekit inspect saelens:gpt2-small-res-jb/blocks.8.hook_resid_pre

Every word must be in the release, the id, the model or Neuronpedia's name. The registry is fetched once a day; SAEKIT_SAE_REGISTRY names another copy.`;

export function addSaesCommand(program: Command): void {
  const saes = program.command('saes').description('Look for published SAEs.');
  const command = addCommonFlags(
    saes
      .command('search')
      .description("Search SAELens's registry of published SAEs.")
      .argument('<words...>', 'Words that must all be there.'),
  );
  command.addHelpText('after', example).action(async (words: string[]) => {
    await withContext(command.opts<{ json?: boolean }>(), async (context) => {
      const { print, style, json } = context;
      const all = await withDownloads(context, readRegistry);
      const found = searchRegistry(all, words);
      if (json) return print(JSON.stringify(found));
      if (found.length === 0)
        return print(`None of ${all.length} SAEs has ${words.join(' and ')} in its name.`);
      const rows = found
        .slice(0, SHOWN)
        .map((sae) => [
          `saelens:${sae.release}/${sae.id}`,
          sae.model,
          sae.l0 === undefined ? '' : String(sae.l0),
          sae.neuronpedia === undefined ? '' : `neuronpedia:${sae.neuronpedia}`,
          unreadable(sae) === undefined ? '' : style.format('dim', 'not read here'),
        ]);
      const columns = [
        { title: 'SAE' },
        { title: 'model' },
        { title: 'L0', align: 'right' as const },
        { title: 'also' },
        { title: '' },
      ];
      print(
        table(columns, rows, style) +
          (found.length > SHOWN ? `\n\n${found.length - SHOWN} more; add a word.` : ''),
      );
    });
  });
}
