/** An ONNX file of a language model, exported by anybody, as a model: file -> our inputs -> shapes -> residual stream -> runtime. */
import type { Graph } from '../../graph/index.ts';
import type { ByteFolder } from '../../platform/index.ts';
import { openText } from '../folder-tokenizer.ts';
import { readJson } from '../hf-folder.ts';
import { createRuntime } from '../runtime.ts';
import { createSessions, type SessionSettings } from '../sessions.ts';
import type { Model, ModelInfo } from '../types.ts';
import { openOnnxFile } from './file.ts';
import { withHooks } from './hooks.ts';
import { readTokenGraph } from './tokens-graph.ts';

type Config = Readonly<Record<string, unknown>>;

const firstNumber = (config: Config, ...fields: string[]): number | undefined => {
  for (const field of fields) {
    const value = config[field];
    if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return value;
  }
  return undefined;
};

/** Where the file does not say how long a text may be. */
const UNSTATED_CONTEXT = 2 ** 20;

/** Elements of weights; shapes and scalars are none. */
function parameterCount({ initializers }: Graph): number {
  let total = 0;
  for (const { dims, type } of initializers.values())
    if (dims.length > 0 && type !== 'int64') total += dims.reduce((product, n) => product * n, 1);
  return total;
}

/** How the weights were quantised, where they were: results say so. */
function quantizationOf({ nodes }: Graph): string | undefined {
  const ops = new Set(nodes.map(({ op }) => op));
  const found = [
    ...(ops.has('MatMulNBits') || ops.has('GatherBlockQuantized')
      ? ['weights in 4 or 8 bits, by blocks']
      : []),
    ...(ops.has('MatMulInteger') || ops.has('QLinearMatMul') ? ['int8 products'] : []),
    ...(ops.has('DequantizeLinear') ? ['int8 weights'] : []),
  ];
  return found.length > 0 ? found.join(', ') : undefined;
}

/**
 * Opens an ONNX file as a model. config.json, tokenizer.json and the like are taken from its folder, or from the one above when that is
 * called onnx, as in repositories for transformers.js.
 */
export async function openOnnxModel(
  folder: ByteFolder,
  file: string,
  { signal, ...settings }: SessionSettings & { readonly signal?: AbortSignal },
): Promise<Model> {
  const opened = await openOnnxFile(folder, file, signal);
  try {
    const { graph, measured, rows, V, D, layers, names, last, logits } = await readTokenGraph(opened);
    signal?.throwIfAborted();
    const config = (await readJson(folder, 'config.json')) ?? {};
    const text = await openText(folder, opened.name, {
      config,
      generation: (await readJson(folder, 'generation_config.json')) ?? {},
      V: rows,
      encoder: logits === undefined,
    });
    const cache = [...opened.model.graph.inputs].find(([name]) => /^past.*key/.test(name))?.[1].dims ?? [];
    const heads = firstNumber(config, 'num_attention_heads', 'n_head') ?? (Number(cache[1]) || 0);
    const kvHeads = firstNumber(config, 'num_key_value_heads') ?? heads;
    const headDim =
      firstNumber(config, 'head_dim') ?? (Number(cache[3]) || (heads ? Math.floor(D / heads) : 0));
    const hooked = withHooks(graph, measured, names, D);
    const quantization = quantizationOf(opened.model.graph);
    const info: ModelInfo = {
      name: opened.name,
      family: 'onnx',
      ...{ D, layers, heads, kvHeads, headDim, V },
      contextLength:
        firstNumber(config, 'max_position_embeddings', 'n_positions', 'n_ctx', 'max_seq_len') ??
        UNSTATED_CONTEXT,
      encoder: logits === undefined,
      bosTokenId: text.bosTokenId,
      eosTokenIds: text.eosTokenIds,
      parameters: parameterCount(opened.model.graph),
      hash: opened.hash,
      ...(quantization === undefined ? {} : { quantization }),
      ...(folder.origin ? { origin: folder.origin } : {}),
    };
    return createRuntime({
      spec: { D, layers, heads, headDim, V, attention: [], encoder: logits === undefined },
      info,
      hooks: hooked.hooks,
      tokenizer: text.tokenizer,
      sessions: createSessions(hooked.graph, opened.sources, settings),
      layout: {
        last: hooked.hooks.findLast(
          ({ name }) => name === last || names.some((one) => one.value === last && one.hook === name),
        )!.name,
        dims: (hook) => hooked.dims.get(hook.name)!,
      },
      closeFiles: opened.close,
    });
  } catch (error) {
    await opened.close();
    throw error;
  }
}
