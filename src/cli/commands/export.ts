/** `saekit export`: a model as ONNX, for transformers.js and any other runtime. */
import { basename, dirname, resolve } from 'node:path';
import type { Command } from 'commander';
import type { HubAccess } from '../../hub/types.ts';
import { type SelfTest, selfTestText } from '../../sae/index.ts';
import { UsageError } from '../../shared/errors.ts';
import { type ExportConfig, exportConfigSchema } from '../../shared/export.ts';
import { parseIntervention, parsePositions } from '../../shared/steer-syntax.ts';
import {
  type Exported,
  exportModel,
  type NamedSae,
  openInterventions,
  steeredModel,
} from '../../workflows/index.ts';
import { leastKnown } from '../../workflows/interventions.ts';
import { addCommonFlags, withContext } from '../context.ts';
import { addFlags, givenFlags, parseConfig, readConfigFile } from '../flags.ts';
import { withDownloads } from '../output/downloads.ts';
import { bytes } from '../output/numbers.ts';
import type { Style } from '../output/style.ts';
import { pairs } from '../output/table.ts';

const example = `
Examples:
  saekit export out/ --model HuggingFaceTB/SmolLM2-135M
  saekit export out/ --steer runs/first:1234=8
  saekit export out/ --model demo/model --steer "sae/:77=clamp:12 at generated" sae/:9=zero

The folder opens in transformers.js; out/onnx/model.onnx runs wherever ONNX does (docs/export.md). --steer as in saekit generate: the
changes become part of the model.`;

export function addExportCommand(program: Command): void {
  const command = addCommonFlags(
    program
      .command('export')
      .description('Write a model, steered or as it is, as ONNX, for transformers.js and any other runtime.')
      .argument('<out>', 'A new folder. It comes before --steer, which takes all that follows.')
      .option('--config <file>', 'JSON file with the fields below in camelCase.'),
  );
  addFlags(command, exportConfigSchema);
  command.addHelpText('after', example).action(async (out: string) => {
    const flags = command.opts<{ config?: string; json?: boolean }>();
    const file = flags.config === undefined ? {} : await readConfigFile(flags.config, 'export');
    const config = parseConfig(exportConfigSchema, { ...file, ...givenFlags(command, exportConfigSchema) });
    await withContext(flags, async (context) => {
      const done = await withDownloads(context, (access) => exported(out, config, access));
      context.print(context.json ? JSON.stringify({ out, ...done }) : exportedText(out, done, context.style));
    });
  });
}

/** With what is known of the SAEs that it is steered with. */
type Done = Exported & { readonly selfTest?: SelfTest };

async function exported(out: string, config: ExportConfig, access: HubAccess): Promise<Done> {
  const { steer = [], dtype } = config;
  if (steer.length === 0 && config.model === undefined)
    throw new UsageError('Give --model, or --steer with a run of the model.');
  const defaults = { positions: parsePositions(config.positions), keepError: config.keepError };
  const changes = steer.map((one) => (typeof one === 'string' ? parseIntervention(one, defaults) : one));
  const known = new Map<string, NamedSae>();
  const interventions = await openInterventions(changes, { ...access, known, otherModel: config.allowWrong });
  const vectors = changes.flatMap(({ vector }) => vector ?? []);
  const model = await steeredModel(config.model, [...known.values()], vectors);
  const done = await exportModel(out, { ...access, model, interventions, dtype });
  const selfTest = leastKnown(known.values());
  return { ...done, ...(selfTest ? { selfTest } : {}) };
}

function exportedText(out: string, done: Done, style: Style): string {
  const { model, family, layers, contextLength, weightBytes, files, changed, selfTest } = done;
  const lines: [string, string][] = [
    ['written', out],
    ['model', `${model}: ${family}, ${layers} layers, texts of ${contextLength} tokens at most`],
    ['changed', changed.length === 0 ? 'nothing' : `${changed.join(', ')} (steering.json)`],
    ...(selfTest ? [['SAE', selfTestText(selfTest)] as [string, string]] : []),
    ['weights', `${bytes(weightBytes)} in onnx/model.onnx_data`],
    ['files', files.join(', ')],
  ];
  return `${pairs(lines, style)}

In transformers.js: env.localModelPath = '${dirname(resolve(out))}'; await pipeline('text-generation', '${basename(resolve(out))}')`;
}
