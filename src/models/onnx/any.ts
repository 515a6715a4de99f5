/**
 * Any ONNX file, on any inputs: speech, images, decoders that read an encoder. What is fed and fetched goes by the file's own names; where
 * a residual stream is found, its values also have hook names. The graph is cut to what is fetched, so a value early in the model costs
 * only what comes before it.
 */
import type { Tensor as OrtTensor } from 'onnxruntime-common';
import { float16ToFloat32, float32ToFloat16 } from '../../formats/index.ts';
import type { ElementType, Graph, Value, ValueInfo } from '../../graph/index.ts';
import { type ByteFolder, getPlatform } from '../../platform/index.ts';
import { leastFar } from '../../shared/nearest.ts';
import { steerFeeds } from '../feeds.ts';
import type { OpenModelOptions } from '../open.ts';
import { createSessions } from '../sessions.ts';
import type { Tensor } from '../types.ts';
import { type OnnxFile, openOnnxFile } from './file.ts';
import { findResiduals, hookNames } from './residual.ts';
import { embedding, idsInput } from './tokens.ts';

/** What is fed: numbers, converted to the type that the file asks for. */
export type OnnxFeed = { readonly data: ArrayLike<number | bigint>; readonly dims: readonly number[] };

export type OnnxTensor = {
  readonly name: string;
  /** The operator that makes it. */
  readonly op: string;
  /** As the file states them; a dimension is a number or the file's own name for it. */
  readonly type?: string;
  readonly dims?: readonly (number | string)[];
};

export type OnnxRunOptions = {
  /** Tensors or hooks to return. */
  readonly fetch: readonly string[];
  /** Values put in place of a tensor's own: the tensor is not computed, what follows is. */
  readonly replace?: Readonly<Record<string, Tensor>>;
  /** A direction [width] added at every position of one tensor [...,width]. */
  readonly add?: { readonly at: string; readonly direction: Float32Array };
  readonly signal?: AbortSignal;
};

export type OpenedOnnx = {
  readonly name: string;
  readonly inputs: readonly OnnxTensor[];
  readonly outputs: readonly string[];
  /** Everything that nodes make, in order. */
  readonly tensors: readonly OnnxTensor[];
  /** Values of the residual stream by TransformerLens's names, in order. Found by the structure of the graph: see docs/onnx.md. */
  readonly hooks: readonly { readonly hook: string; readonly tensor: string }[];
  /** Integers and booleans come as float32 numbers, too. */
  run(feeds: Readonly<Record<string, OnnxFeed>>, options: OnnxRunOptions): Promise<Record<string, Tensor>>;
  close(): Promise<void>;
};

/** Where activations enter: the embedded tokens, or all inputs that are numbers and no mask. */
export function sourcesOf(graph: Graph): Value[] {
  const ids = idsInput(graph);
  const embedded = ids === undefined ? undefined : embedding(graph, ids)?.value;
  if (embedded !== undefined) return [embedded];
  const isSource = ([name, { type }]: readonly [Value, ValueInfo]): boolean =>
    /^float/.test(type) && !/mask|past|cache/i.test(name);
  return [...graph.inputs].filter(isSource).map(([name]) => name);
}

/** Names of residual values, found without running the graph. */
export function residualNames({ model }: OnnxFile): { hook: string; tensor: Value }[] {
  const sink = model.outputs.find((value) => !/present|past|cache/i.test(value)) ?? model.outputs[0];
  if (sink === undefined) return [];
  const found = findResiduals(model.graph, sourcesOf(model.graph), sink);
  return hookNames(found).map(({ hook, value }) => ({ hook, tensor: value }));
}

const MAKERS: Readonly<
  Partial<Record<ElementType, (data: ArrayLike<number | bigint>) => OrtTensor.DataType | object>>
> = {
  float32: (data) => Float32Array.from(data as ArrayLike<number>),
  float16: (data) => float32ToFloat16(Float32Array.from(data as ArrayLike<number>)),
  float64: (data) => Float64Array.from(data as ArrayLike<number>),
  int64: (data) => BigInt64Array.from(data as ArrayLike<bigint>, BigInt),
  int32: (data) => Int32Array.from(data as ArrayLike<number>, Number),
  uint8: (data) => Uint8Array.from(data as ArrayLike<number>, Number),
  int8: (data) => Int8Array.from(data as ArrayLike<number>, Number),
  bool: (data) => Uint8Array.from(data as ArrayLike<number>, Number),
};

export function toEngine(name: string, { data, dims }: OnnxFeed, type: ElementType): OrtTensor {
  const make = MAKERS[type];
  const size = dims.reduce((product, n) => product * n, 1);
  if (data.length !== size)
    throw new Error(`${name}: [${dims.join(', ')}] has ${size} elements, and ${data.length} were given`);
  if (!make) throw new Error(`${name} is ${type}, which cannot be fed from JavaScript`);
  const { Tensor } = getPlatform().ort;
  return new Tensor(type as 'float32', make(data) as Float32Array, dims);
}

function fromEngine({ data, dims, type }: OrtTensor): Tensor {
  if (type === 'float32') return { data: data as Float32Array, dims };
  if (type === 'float16') {
    const { buffer, byteOffset, byteLength } = data as unknown as Uint16Array;
    return { data: float16ToFloat32(new Uint16Array(buffer, byteOffset, byteLength / 2)), dims };
  }
  return { data: Float32Array.from(data as ArrayLike<number | bigint>, Number), dims };
}

/**
 * Opens an ONNX file to be run on its own inputs.
 *
 * @param location path of a .onnx file, `npm:package@version/path`, or a folder object with `file`
 * @throws when it is no ONNX file, contradicts itself, or a weight file is missing
 * @example
 * const encoder = await openOnnx('encoder_model.onnx');
 * const { 'blocks.3.hook_resid_post': x } = await encoder.run(
 *   { args_0: { data: audio, dims: [1, audio.length] } },
 *   { fetch: ['blocks.3.hook_resid_post'] },
 * );
 */
export async function openOnnx(
  location: string | ByteFolder,
  options: OpenModelOptions = {},
): Promise<OpenedOnnx> {
  options.signal?.throwIfAborted();
  const folder = typeof location === 'string' ? await getPlatform().openFolder(location, options) : location;
  if (folder.file === undefined) throw new Error(`${folder.name} is a folder; openOnnx takes one .onnx file`);
  const file = await openOnnxFile(folder, folder.file, options.signal);
  const { graph, outputs, stated } = file.model;
  const sessions = createSessions(graph, file.sources, options);
  const hooks = residualNames(file);
  const tensorOf = new Map(hooks.map(({ hook, tensor }) => [hook, tensor]));
  const makers = new Map(
    graph.nodes.flatMap((node) => node.outputs.map((value) => [value, node.op] as const)),
  );
  makers.delete('');
  const types = new Map<Value, ElementType>();

  function resolve(name: string): Value {
    const tensor = tensorOf.get(name) ?? name;
    if (makers.has(tensor)) return tensor;
    const near = leastFar(name, [...tensorOf.keys(), ...makers.keys()]);
    throw new Error(`${file.name} has no tensor ${JSON.stringify(name)}. Nearest: ${near.join(', ')}.`);
  }

  const shown = (name: Value, op: string): OnnxTensor => ({ name, op, ...stated.get(name) });

  async function run(
    feeds: Readonly<Record<string, OnnxFeed>>,
    { fetch, replace = {}, add, signal }: OnnxRunOptions,
  ): Promise<Record<string, Tensor>> {
    if (fetch.length === 0) throw new Error('Nothing was asked for: name at least one tensor in `fetch`');
    const engineFeeds: Record<string, () => OrtTensor> = {};
    for (const [name, feed] of Object.entries(feeds)) {
      const info = graph.inputs.get(name);
      if (!info)
        throw new Error(
          `${file.name} has no input ${JSON.stringify(name)}; it has ${[...graph.inputs.keys()].join(', ')}`,
        );
      engineFeeds[name] = () => toEngine(name, feed, info.type);
    }
    const outputs = [...new Set(fetch.map(resolve))];
    const given = new Map<Value, ValueInfo>();
    for (const [name, tensor] of Object.entries(replace)) {
      const value = resolve(name);
      if (!types.has(value)) {
        const before = await sessions.run({ outputs: [value] }, engineFeeds);
        types.set(value, before[value]!.type as ElementType);
      }
      const type = types.get(value)!;
      given.set(value, { type, dims: tensor.dims.map((_, axis) => `${value}/${axis}`) });
      engineFeeds[value] = () => toEngine(name, tensor, type);
    }
    const steer = add && { hook: resolve(add.at), width: add.direction.length };
    if (steer) {
      const edit = { hook: steer.hook, directions: add.direction, strengths: Float32Array.of(1) };
      Object.assign(engineFeeds, steerFeeds(edit, steer.width, getPlatform().ort));
    }
    signal?.throwIfAborted();
    const purpose = { outputs, given, ...(steer ? { steer } : {}) };
    const found = await sessions.run(purpose, engineFeeds);
    signal?.throwIfAborted();
    return Object.fromEntries(fetch.map((name) => [name, fromEngine(found[resolve(name)] as OrtTensor)]));
  }

  return {
    name: file.name,
    inputs: [...graph.inputs].map(([name]) => shown(name, 'input')),
    outputs,
    tensors: [...makers].map(([name, op]) => shown(name, op)),
    hooks,
    run,
    async close() {
      await sessions.close();
      await file.close();
    },
  };
}
