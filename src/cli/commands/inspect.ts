/** `saekit inspect`: what is in a run, an SAE, a model folder or a corpus file. */
import { type Command, Option } from 'commander';
import { inspect } from '../../workflows/index.ts';
import { addCommonFlags, withContext } from '../context.ts';
import { parseCount } from '../flags.ts';
import { createCounter } from '../output/counter.ts';
import { createDownloads } from '../output/downloads.ts';
import { inspectionText } from '../output/inspection.ts';

const example = `
Examples:
  saekit inspect runs/first                   progress, metrics, evaluation, features
  saekit inspect demo/model                   its shape and every hook that can be read
  saekit inspect model.onnx                   inputs, tensors, and which are the residual stream
  saekit inspect ollama:smollm2:135m          the same of a model of Ollama, or of a .gguf file
  saekit inspect demo/corpus/train.jsonl.gz   documents, held-out part, registers
  saekit inspect tokens                       packed rows of saekit tokenize: tokenizer, row length, counts
  saekit inspect greek.safetensors            a direction of saekit vector: model, hook, width
  saekit inspect trainer_0/ae.pt              an SAE of any format: kind, norms, thresholds, near duplicates
  saekit inspect acts --verify                harvested activations, every byte compared with its checksum
  saekit inspect vit/patches.npy              activations of another program; PATH#NAME chooses one of several`;

export function addInspectCommand(program: Command): void {
  const command = addCommonFlags(
    program
      .command('inspect')
      .description('Say what is in a run, an SAE, a model folder, activations or a corpus.')
      .argument('<path>', 'The folder or file.')
      .option('--text-field <name>', 'JSONL field that holds the text.', 'text')
      .option('--verify', 'Compare every byte of harvested activations with its checksum.')
      .option(
        '--activations <path>',
        'Measure an SAE on activations of its hook: L0 and FVU beside the recorded ones.',
      )
      .option('--tensors', 'List every tensor of an ONNX file, not only its residual stream.')
      .addOption(new Option('--features <n>', 'Feature cards to show.').argParser(parseCount).default(3)),
  );
  command.addHelpText('after', example).action(async (path: string) => {
    const {
      json = false,
      verify = false,
      textField,
      features,
      tensors = false,
      activations,
    } = command.opts<{
      json?: boolean;
      verify?: boolean;
      textField: string;
      features: number;
      tensors?: boolean;
      activations?: string;
    }>();
    await withContext({ json }, async (context) => {
      const { print, style } = context;
      const counter = createCounter(context, 'MB compared');
      const downloads = createDownloads(context);
      try {
        const found = await inspect(path, {
          ...{ textField, verify, ...downloads.access },
          ...(activations === undefined ? {} : { activations }),
          onVerify: (done, total) => counter.update(done / 1e6, total / 1e6),
        });
        counter.end();
        downloads.end();
        print(json ? JSON.stringify(found) : inspectionText(path, found, { style, features, tensors }));
      } finally {
        counter.end();
        downloads.end();
      }
    });
  });
}
