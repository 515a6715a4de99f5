/**
 * A folder that transformers.js opens, and any other program with an ONNX runtime:
 *
 *     onnx/model.onnx        the graph (plain-graph.ts)
 *     onnx/model.onnx_data   its weights: F32, F16 or BF16, as the model's own files have them, or all F32
 *     config.json            with `transformers.js_config`, so that no option has to be given
 *     generation_config.json, tokenizer.json, tokenizer_config.json, …
 */
import { encodeModel, type Graph } from '../../graph/index.ts';
import type { ByteFolder } from '../../platform/types.ts';
import type { FolderWriter } from '../../store/types.ts';
import type { Config } from '../families/spec.ts';
import { readBytes } from '../hf-folder.ts';
import type { ModelGraph } from '../open.ts';
import { packWeights } from './pack.ts';
import { plainGraph } from './plain-graph.ts';

const MODEL_FILE = 'model.onnx';
const DATA_FILE = 'model.onnx_data';
/** What a tokenizer may be made of. */
const COPIED = [
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'chat_template.jinja',
  'chat_template.json',
];

export type WriteOptions = {
  /** What is baked into the graph. */
  readonly change?: (graph: Graph) => Graph;
  /** Weights as the model has them, or (the default) all widened to float32: twice as large as half precision, and read by every runtime. */
  readonly dtype?: 'stored' | 'float32';
  /** Bytes of weights. */
  readonly onProgress?: (progress: { readonly done: number; readonly total: number }) => void;
  readonly signal?: AbortSignal;
};

export type ExportedFiles = { readonly files: readonly string[]; readonly weightBytes: number };

const jsonBytes = (value: unknown): Uint8Array =>
  new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`);

/** The config of the language model alone, with what transformers.js derives shapes from spelled out. */
function plainConfig({ files: { config }, spec }: ModelGraph): Config {
  const { text_config: text, vision_config: _, ...rest } = config as Record<string, unknown>;
  const shapes =
    'num_attention_heads' in { ...rest, ...(text as object) } && spec.family !== 'gpt_neox'
      ? { num_key_value_heads: spec.kvHeads, head_dim: spec.headDim }
      : {};
  return {
    ...rest,
    ...(text as object | undefined),
    ...shapes,
    'transformers.js_config': { dtype: 'fp32', use_external_data_format: { [MODEL_FILE]: 1 } },
  };
}

/**
 * Writes a model as a folder for other programs. Each file is there whole or not at all; the graph comes last.
 *
 * @param folder what the model was opened from
 * @throws as `plainGraph`; StorageFull on a full disk; the signal's reason
 */
export async function writePlainModel(
  folder: ByteFolder,
  model: ModelGraph,
  writer: FolderWriter,
  options: WriteOptions = {},
): Promise<ExportedFiles> {
  const { change, dtype = 'float32', signal, onProgress } = options;
  const plain = plainGraph(change ? change(model.graph) : model.graph, model.spec);
  const { graph, byteLength, chunks } = packWeights(plain.graph, dtype === 'float32');
  const files: string[] = [];
  const write = async (file: string, bytes: Uint8Array): Promise<void> => {
    await writer.write(file, [bytes], bytes.length);
    files.push(file);
  };
  for (const file of COPIED) {
    signal?.throwIfAborted();
    const bytes = await readBytes(folder, file);
    if (bytes) await write(file, bytes);
  }
  // transformers.js opens no tokenizer without it.
  if (files.includes('tokenizer.json') && !files.includes('tokenizer_config.json'))
    await write('tokenizer_config.json', jsonBytes({ tokenizer_class: 'PreTrainedTokenizerFast' }));
  await write('config.json', jsonBytes(plainConfig(model)));
  const weights = chunks(model.files.weights.sources, {
    ...(signal ? { signal } : {}),
    onProgress: (done) => onProgress?.({ done, total: byteLength }),
  });
  await writer.write(`onnx/${DATA_FILE}`, weights, byteLength);
  files.push(`onnx/${DATA_FILE}`);
  await write(
    `onnx/${MODEL_FILE}`,
    encodeModel(graph, [...plain.outputs.keys()], [DATA_FILE], plain.outputs),
  );
  return { files, weightBytes: byteLength };
}
