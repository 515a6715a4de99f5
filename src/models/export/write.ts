/**
 * A folder that transformers.js opens, and any other program with an ONNX runtime:
 *
 *     onnx/model.onnx        the graph (plain-graph.ts)
 *     onnx/model.onnx_data   its weights, as they lie in the model's own files: F32, F16 or BF16
 *     config.json            with `transformers.js_config`, so that no option has to be given
 *     generation_config.json, tokenizer.json, tokenizer_config.json, …
 */
import { type ExternalData, encodeModel, type Graph } from '../../graph/index.ts';
import type { Initializer, Value } from '../../graph/types.ts';
import type { ByteFolder, ByteSource } from '../../platform/types.ts';
import type { FolderWriter } from '../../store/types.ts';
import type { Config } from '../families/spec.ts';
import { readBytes } from '../hf-folder.ts';
import type { ModelGraph } from '../open.ts';
import { plainGraph } from './plain-graph.ts';

const MODEL_FILE = 'model.onnx';
const DATA_FILE = 'model.onnx_data';
/** Tensors begin at a multiple of it: what the ONNX format recommends, so that files can be mapped. */
const PAGE = 4096;
/** Bytes that are read at once. */
const PIECE = 8 * 2 ** 20;
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

export type ExportProgress = { readonly done: number; readonly total: number };

export type WriteOptions = {
  /** What is baked into the graph. */
  readonly change?: (graph: Graph) => Graph;
  /** Bytes of weights. */
  readonly onProgress?: (progress: ExportProgress) => void;
  readonly signal?: AbortSignal;
};

export type ExportedFiles = { readonly files: readonly string[]; readonly weightBytes: number };

/** In a file of the model, or made here: SAEs that are baked in. */
type Piece = { readonly at: number; readonly from: ExternalData | Uint8Array };

/** From this size on what is made here stands beside the graph, too. */
const LARGE_BYTES = 64 * 1024;

/** The graph with all its weights in one file, and what that file is made of. */
function packed(graph: Graph): { graph: Graph; pieces: Piece[]; byteLength: number } {
  const initializers = new Map<Value, Initializer>();
  const pieces: Piece[] = [];
  let end = 0;
  for (const [name, initializer] of graph.initializers) {
    const { data } = initializer;
    if (data instanceof Uint8Array && data.length < LARGE_BYTES) initializers.set(name, initializer);
    else {
      const at = Math.ceil(end / PAGE) * PAGE;
      pieces.push({ at, from: data });
      initializers.set(name, { ...initializer, data: { file: 0, offset: at, length: data.length } });
      end = at + data.length;
    }
  }
  return { graph: { ...graph, initializers }, pieces, byteLength: end };
}

async function* weightChunks(
  pieces: readonly Piece[],
  sources: readonly ByteSource[],
  total: number,
  { signal, onProgress }: WriteOptions,
): AsyncGenerator<Uint8Array> {
  let done = 0;
  for (const { at, from } of pieces) {
    if (at > done) yield new Uint8Array(at - done);
    done = at;
    if (from instanceof Uint8Array) {
      yield from;
      done += from.length;
      continue;
    }
    const end = from.offset + from.length;
    for (let start = from.offset; start < end; start += PIECE) {
      signal?.throwIfAborted();
      const bytes = await sources[from.file]!.slice(start, Math.min(end, start + PIECE));
      yield bytes;
      done += bytes.length;
      onProgress?.({ done, total });
    }
  }
}

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
  const { change, signal } = options;
  const plain = plainGraph(change ? change(model.graph) : model.graph, model.spec);
  const { graph, pieces, byteLength } = packed(plain.graph);
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
  const chunks = weightChunks(pieces, model.files.weights.sources, byteLength, options);
  await writer.write(`onnx/${DATA_FILE}`, chunks, byteLength);
  files.push(`onnx/${DATA_FILE}`);
  await write(
    `onnx/${MODEL_FILE}`,
    encodeModel(graph, [...plain.outputs.keys()], [DATA_FILE], plain.outputs),
  );
  return { files, weightBytes: byteLength };
}
