/** `saekit models`: what models are on this disk, and what to give as --model. */
import type { Command } from 'commander';
import { hubSettings, llamaCppFolder, ollamaFolders } from '../../hub/index.ts';
import { listModels, type ModelList } from '../../workflows/index.ts';
import { addCommonFlags, withContext } from '../context.ts';
import { bytes } from '../output/numbers.ts';
import type { Style } from '../output/style.ts';
import { table } from '../output/table.ts';

const example = `
Examples:
  saekit models
  saekit inspect ollama:smollm2:135m
  saekit train --model ollama:smollm2:135m --data texts/

Looks where Ollama (OLLAMA_MODELS), llama.cpp (LLAMA_CACHE) and Hugging Face (HF_HOME) keep models. Nothing is opened but headers.`;

function listText({ models, converted }: ModelList, style: Style): string {
  const looked = [...ollamaFolders(), llamaCppFolder(), hubSettings().cache].join(', ');
  const rows = models.map(({ argument, keeper, architecture, weights, problem, bytes: size }) => [
    argument,
    keeper,
    architecture,
    weights,
    bytes(size),
    problem === undefined ? '' : style.format('dim', problem),
  ]);
  const columns = [
    { title: '--model' },
    { title: 'kept by' },
    { title: 'architecture' },
    { title: 'weights' },
    { title: 'size', align: 'right' as const },
    { title: '' },
  ];
  return [
    models.length === 0 ? `No models in ${looked}.` : table(columns, rows, style),
    ...(converted.count === 0
      ? []
      : [
          style.format(
            'dim',
            `GGUF files written out in float32: ${converted.count}, ${bytes(converted.bytes)}, in ${converted.folder}; it may be deleted.`,
          ),
        ]),
  ].join('\n\n');
}

export function addModelsCommand(program: Command): void {
  const command = addCommonFlags(
    program
      .command('models')
      .description('List the models on this disk: Ollama, llama.cpp, Hugging Face cache.'),
  );
  command.addHelpText('after', example).action(async () => {
    const flags = command.opts<{ json?: boolean }>();
    await withContext(flags, async ({ print, style, json, signal }) => {
      const list = await listModels({ signal });
      print(json ? JSON.stringify(list) : listText(list, style));
    });
  });
}
