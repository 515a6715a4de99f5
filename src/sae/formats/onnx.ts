/**
 * ONNX, for any program with a runtime: three graphs of standard operators over one file of weights.
 *
 *     encoder.onnx        x [B,D] -> z [B,F]
 *     decoder.onnx        z [B,F] (x [B,D]) (ids int64 [B]) -> xhat [B,Dout]      x where the SAE normalises its input or skips
 *     round_trip.onnx     x [B,D] (ids) -> xhat
 *     weights.safetensors the arrays in the layout of this package: external data of the graphs, and readable by itself
 *     sae.json            the config: with it the folder is read again, bit for bit
 */
import { createGraphBuilder, encodeModel, type Graph, type Value } from '../../graph/index.ts';
import type { FolderWriter } from '../../store/types.ts';
import { arrayShapes, decodeNodes, decodeReadsX, encodeNodes, saeEnds } from '../graph.ts';
import type { Sae, SaeConfig } from '../types.ts';
import { variantOf } from '../variants/registry.ts';
import type { Arrays } from '../variants/variant.ts';
import { type Format, hasPair, type Plan, type SaeFiles, type Slot, settings, tensorsOf } from './format.ts';
import { bytesOf, checkFinite, jsonBytes, safetensorsHeader } from './write.ts';

const CONFIG_FILE = 'sae.json';
const WEIGHTS_FILE = 'weights.safetensors';
const VERSION = 1;

/** The three graphs, by file; their weights are file 0, from `start` on in the order of `arrayShapes`. */
function graphsOf(sae: Sae, start: number): Record<string, { graph: Graph; output: 'z' | 'xhat' }> {
  const ends = saeEnds(sae);
  const offsets = new Map<string, { shape: number[]; offset: number; length: number }>();
  let offset = start;
  for (const [name, shape] of arrayShapes(sae)) {
    const length = 4 * sae[name]!.length;
    offsets.set(name, { shape, offset, length });
    offset += length;
  }
  const author = (output: 'z' | 'xhat', given: 'x' | 'z') => {
    const g = createGraphBuilder();
    const input = (name: 'x' | 'z' | 'ids'): Value => g.input(name, ends[name].type, ends[name].dims);
    const values = (name: keyof Arrays): Value => {
      if (g.graph.initializers.has(name)) return name;
      const { shape, ...place } = offsets.get(name)!;
      return g.external(name, 'float32', shape, { file: 0, ...place });
    };
    if (given === 'x' || decodeReadsX(sae)) input('x');
    if (given === 'z') input('z');
    if (output === 'xhat' && sae.b_token) input('ids');
    const z = given === 'z' ? 'z' : encodeNodes(g, sae, values, 'x');
    g.named(output, output === 'z' ? z : decodeNodes(g, sae, values, { z, x: 'x', ids: 'ids' }));
    return { graph: g.graph, output };
  };
  return {
    'encoder.onnx': author('z', 'x'),
    'decoder.onnx': author('xhat', 'z'),
    'round_trip.onnx': author('xhat', 'x'),
  };
}

async function write(sae: Sae, folder: FolderWriter, signal?: AbortSignal): Promise<void> {
  const tensors = arrayShapes(sae).map(([name, shape]) => ({ name, shape, data: sae[name]! }));
  for (const { name, data } of tensors) checkFinite(name, data);
  const { header, byteLength } = safetensorsHeader(tensors);
  const ends = saeEnds(sae);
  // Before anything is written: an SAE of which no graph can be made leaves no folder.
  const graphs = graphsOf(sae, header.length);
  function* chunks(): Generator<Uint8Array> {
    yield header;
    for (const { data } of tensors) {
      signal?.throwIfAborted();
      yield bytesOf(data);
    }
  }
  signal?.throwIfAborted();
  await folder.write(WEIGHTS_FILE, chunks(), byteLength);
  for (const [file, { graph, output }] of Object.entries(graphs)) {
    const bytes = encodeModel(graph, [output], [WEIGHTS_FILE], new Map([[output, ends[output]]]));
    await folder.write(file, [bytes], bytes.length);
  }
  const config = jsonBytes({ saekit_onnx_version: VERSION, ...sae.config });
  await folder.write(CONFIG_FILE, [config], config.length);
}

async function read({ folder, json, tensors: open }: SaeFiles): Promise<Plan> {
  const where = `${folder.name}/${CONFIG_FILE}`;
  const found = (await json(CONFIG_FILE))!;
  const cfg = settings(found, where);
  const version = cfg.count('saekit_onnx_version');
  if (version > VERSION)
    throw new Error(
      `${where}: version ${version}, and this saekit reads up to ${VERSION}. Update saekit, or convert the SAE again.`,
    );
  const variant = variantOf(String(cfg.any('architecture')));
  const [D, F] = [cfg.count('D'), cfg.count('F')];
  const Dout = cfg.has('Dout') ? cfg.count('Dout') : undefined;
  const inputNorm = cfg.has('inputNorm') ? cfg.oneOf('inputNorm', ['layer', 'norm', 'centre']) : undefined;
  const subtractDecoderBias = cfg.has('subtractDecoderBias') ? cfg.flag('subtractDecoderBias') : undefined;
  const flattened = cfg.has('flattened') ? cfg.flag('flattened') : undefined;
  const metadata = cfg.object('metadata');
  const shared = ['saekit_onnx_version', 'D', 'F', 'Dout', 'inputNorm', 'subtractDecoderBias', 'flattened'];
  const own = Object.entries(found).filter(([key]) => ![...shared, 'metadata'].includes(key));
  const parsed = variant.settings.safeParse(Object.fromEntries(own));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new Error(`${where}: ${[...issue!.path, issue!.message].join(': ')}`);
  }
  const tensors = tensorsOf(await open(WEIGHTS_FILE));
  const names: readonly (keyof Arrays)[] = ['W_enc', 'b_enc', 'W_dec', 'b_dec', ...variant.arrays];
  const more = (['W_skip', 'b_token'] as const).filter((name) => tensors.has(name));
  const arrays: Record<string, Slot> = {};
  for (const name of [...names, ...more]) arrays[name] = { tensor: tensors.take(name) };
  tensors.finish();
  const config = {
    ...{ D, F },
    ...(Dout === undefined ? {} : { Dout }),
    ...(subtractDecoderBias === undefined ? {} : { subtractDecoderBias }),
    ...(inputNorm === undefined ? {} : { inputNorm }),
    ...(flattened === undefined ? {} : { flattened }),
    metadata,
    ...(parsed.data as object),
  } as SaeConfig;
  return { config, arrays, notes: [] };
}

export const onnx: Format = {
  title: 'ONNX',
  folders: [[CONFIG_FILE, WEIGHTS_FILE]],
  matches: (files) => hasPair(files, CONFIG_FILE, WEIGHTS_FILE),
  read,
  write,
};
