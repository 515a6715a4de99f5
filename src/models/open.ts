/** Opening a model: folder -> spec -> graph -> runtime. */
import type { Graph } from '../graph/index.ts';
import type { HubAccess } from '../hub/types.ts';
import { type ByteFolder, getPlatform } from '../platform/index.ts';
import type { Device } from '../shared/device.ts';
import { findFamily } from './families/registry.ts';
import type { TransformerSpec } from './families/spec.ts';
import { openText } from './folder-tokenizer.ts';
import { ggufConversion } from './gguf/convert.ts';
import { type ModelFolder, openModelFolder } from './hf-folder.ts';
import { listHooks } from './hooks.ts';
import { openOnnxModel } from './onnx/open.ts';
import { createRuntime } from './runtime.ts';
import { createSessions } from './sessions.ts';
import type { Model, ModelInfo } from './types.ts';

/** With the progress and notes of a download, when the model comes from the hub, and a signal that stops download and opening. */
export type OpenModelOptions = HubAccess & {
  /** Threads of each session. Default: all. Never changes the result. */
  readonly threads?: number;
  /** Map F32 weights from the file instead of copying them: opens at once, shares memory, runs up to 20 % slower. */
  readonly mapped?: boolean;
  /** Where it runs. Default: cpu. Others differ in the last bits of every number. */
  readonly device?: Device;
};

/** For tests only: what the graph would be if one thing were wrong. Not exported from the package. */
export type Mutations = {
  readonly spec?: (spec: TransformerSpec) => TransformerSpec;
  readonly graph?: (graph: Graph) => Graph;
};

/** Parameters that the graph reads; a tied head is counted once because it is stored once. */
const parameterCount = ({ initializers }: Graph): number => {
  let total = 0;
  for (const { data, dims } of initializers.values())
    if (!(data instanceof Uint8Array)) total += dims.reduce((product, n) => product * n, 1);
  return total;
};

/** The folder of a model argument; a GGUF file stands for the folder that it becomes. */
export async function openLocation(location: string, access: HubAccess): Promise<ByteFolder> {
  const platform = getPlatform();
  const converted = await platform.openConverted?.(location, ggufConversion, access);
  return converted ?? (await platform.openFolder(location, access));
}

export type ModelGraph = {
  readonly files: ModelFolder;
  readonly spec: TransformerSpec;
  /** With every hook, the logits and the loss; weights by reference into `files`. */
  readonly graph: Graph;
};

/** The graph of a folder in Hugging Face layout. Close its files. @throws as `openModel` */
export async function openModelGraph(
  folder: ByteFolder,
  { signal }: OpenModelOptions = {},
  mutations: Mutations = {},
): Promise<ModelGraph> {
  const files = await openModelFolder(folder);
  try {
    signal?.throwIfAborted();
    const family = findFamily(files.config, files.name);
    if (files.config.quantization_config) {
      throw new Error(
        `${files.name}: the weights are quantized (quantization_config in config.json); expected F32, F16 or BF16. Use the unquantized model.`,
      );
    }
    const parsed = family.parse(files.config, files.weights);
    const spec = mutations.spec?.(parsed) ?? parsed;
    const built = family.build(spec, files.weights);
    return { files, spec, graph: mutations.graph?.(built) ?? built };
  } catch (error) {
    await files.close();
    throw error;
  }
}

/** `openModel` with one thing made wrong, for the mutation gate. */
export async function openMutatedModel(
  location: string | ByteFolder,
  options: OpenModelOptions,
  mutations: Mutations,
): Promise<Model> {
  const { signal } = options;
  signal?.throwIfAborted();
  const folder = typeof location === 'string' ? await openLocation(location, options) : location;
  if (folder.file?.endsWith('.onnx')) return await openOnnxModel(folder, folder.file, options);
  const { files: model, spec, graph } = await openModelGraph(folder, options, mutations);
  try {
    const text = await openText(folder, model.name, {
      config: model.config,
      generation: model.generationConfig,
      V: spec.V,
      encoder: spec.encoder === true,
    });
    signal?.throwIfAborted();
    const { quantization } = model.weights.files[0]?.metadata ?? {};
    const info: ModelInfo = {
      name: model.name,
      family: spec.family,
      D: spec.D,
      layers: spec.layers,
      heads: spec.heads,
      kvHeads: spec.kvHeads,
      headDim: spec.headDim,
      V: spec.V,
      contextLength: spec.contextLength,
      encoder: spec.encoder === true,
      bosTokenId: text.bosTokenId,
      eosTokenIds: text.eosTokenIds,
      parameters: parameterCount(graph),
      hash: model.hash,
      ...(quantization === undefined ? {} : { quantization }),
      ...(folder.origin ? { origin: folder.origin } : {}),
    };
    return createRuntime({
      spec: { ...spec, cached: spec },
      info,
      hooks: listHooks(spec),
      tokenizer: text.tokenizer,
      sessions: createSessions(graph, model.weights.sources, options),
      closeFiles: model.close,
    });
  } catch (error) {
    await model.close();
    throw error;
  }
}

/**
 * Opens a model: a folder in Hugging Face layout (config.json, one or many safetensors files, tokenizer.json), or an ONNX file. Weights stay
 * in those files. Sessions are opened on first use, one per set of hooks.
 *
 * @param location a folder's path, a model of the Hugging Face hub as `org/name[@revision]`, a GGUF file (a path, `ollama:NAME[:TAG]`, or
 *   its name in llama.cpp's cache), an ONNX file, `npm:package@version/path`, or a folder object (in the browser: from a URL prefix or from bytes)
 * @throws for an unsupported architecture (names what is supported), missing, truncated or wrongly shaped weights
 * @example
 * const model = await openModel('models/tiny-llama');
 * const { cache } = await model.runWithCache('The knight takes', 'blocks.2.hook_resid_post');
 */
export const openModel = (location: string | ByteFolder, options: OpenModelOptions = {}): Promise<Model> =>
  openMutatedModel(location, options, {});
