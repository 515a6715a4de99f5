/** `saekit export`: a model as ONNX, for transformers.js and any other runtime. */
import { basename, dirname, resolve } from 'node:path';
import type { Command } from 'commander';
import { exportConfigSchema } from '../../shared/export.ts';
import { type Exported, exportModel } from '../../workflows/index.ts';
import { addCommonFlags, withContext } from '../context.ts';
import { addFlags, givenFlags, parseConfig } from '../flags.ts';
import { withDownloads } from '../output/downloads.ts';
import { bytes } from '../output/numbers.ts';
import type { Style } from '../output/style.ts';
import { pairs } from '../output/table.ts';

const example = `
Examples:
  saekit export --model demo/model out/
  saekit export --model HuggingFaceTB/SmolLM2-135M out/

The folder opens in transformers.js; out/onnx/model.onnx runs wherever ONNX does (docs/export.md).`;

export function addExportCommand(program: Command): void {
  const command = addCommonFlags(
    program
      .command('export')
      .description('Write a model as ONNX, for transformers.js and any other runtime.')
      .argument('<out>', 'A new folder.'),
  );
  addFlags(command, exportConfigSchema);
  command.addHelpText('after', example).action(async (out: string) => {
    const config = parseConfig(exportConfigSchema, givenFlags(command, exportConfigSchema));
    await withContext(command.opts<{ json?: boolean }>(), async (context) => {
      const done = await withDownloads(context, (access) => exportModel(out, { ...access, ...config }));
      context.print(context.json ? JSON.stringify({ out, ...done }) : exportedText(out, done, context.style));
    });
  });
}

function exportedText(out: string, done: Exported, style: Style): string {
  const { model, family, layers, contextLength, weightBytes, files } = done;
  const lines: [string, string][] = [
    ['written', out],
    ['model', `${model}: ${family}, ${layers} layers, texts of ${contextLength} tokens at most`],
    ['weights', `${bytes(weightBytes)} in onnx/model.onnx_data`],
    ['files', files.join(', ')],
  ];
  return `${pairs(lines, style)}

In transformers.js: env.localModelPath = '${dirname(resolve(out))}'; await pipeline('text-generation', '${basename(resolve(out))}')`;
}
