/**
 * circuit-tracer (safety-research): transcoders of the layers of a model, under one config.yaml.
 *
 *     layer_N.safetensors      W_enc [F,D]   b_enc [F]   W_dec [F,D]   b_dec [D]   activation_function.threshold [F]   W_skip [D,D]
 *     z = ReLU(W x + b_enc), or where it has a threshold JumpReLU;   xhat = z W_dec + b_dec (+ W_skip x)
 *     config.yaml: feature_input_hook and feature_output_hook (mlp.hook_in, mlp.hook_out), model_name, model_kind
 *
 * A cross-layer transcoder writes to its own layer N and to all P - 1 behind it, each of which adds up what the layers before give it:
 *
 *     W_enc_N.safetensors      W_enc_N [F,D]   b_enc_N [F]   b_dec_N [D]   threshold_N [F]
 *     W_dec_N.safetensors      W_dec_N [F,P,D]
 *     xhat [B,P D] = z W_dec + (b_dec, 0, ...): side by side, so that nothing is lost (SAELens adds the P up)
 *
 * The transcoders of Qwen3, Llama 3.2 and Gemma 2 (mwhanna, mntss) are published so, and are read layer by layer: name the file.
 * TopK transcoders in this form (activation and k in config.yaml) are refused: circuit-tracer keeps values below 0 among their K largest.
 */
import { crossLayerFiles } from '../../shared/cross-layer-files.ts';
import type { SaeConfig } from '../types.ts';
import {
  CROSS_LAYER,
  crossLayerDecoder,
  type Format,
  type Plan,
  refuseComputing,
  type SaeFiles,
  tensorsOf,
} from './format.ts';

/** What the file of layer N is called; of a cross-layer transcoder one of the two. */
export const TRANSCODER_FILE = /^(?:layer|W_enc|W_dec)_(\d+)\.safetensors$/;
const CONFIG = 'config.yaml';
const THRESHOLD = 'activation_function.threshold';

/**
 * What config.yaml says; without one, what is known of a published repository (SAELens's loader for it has these hooks).
 *
 * @throws where neither says that the file is a transcoder: an SAE has the same four tensors, and reads x - b_dec
 */
async function placeOf(
  { yaml, path, folder, file }: SaeFiles,
  threshold: boolean,
): Promise<{ layer: number; model: string | undefined; reads: string; writes: string }> {
  const layer = Number(TRANSCODER_FILE.exec(file!)![1]!);
  const said = (await yaml(CONFIG)) ?? {};
  const where = `${folder.name}/${CONFIG}`;
  refuseComputing(said, where, threshold ? /^jump_?relu$/i : /^relu$/i);
  const expected = crossLayerFiles(file!) ? 'cross_layer_transcoder' : 'transcoder_set';
  const { model_kind: kind = expected } = said;
  if (kind !== expected)
    throw new Error(`${where}: model_kind is ${JSON.stringify(kind)}, expected "${expected}"`);
  const size = /(?:^|[/-])mwhanna(?:--|\/)qwen3-([\d.]+b)-transcoders/i.exec(path)?.[1]?.toUpperCase();
  const model = said.model_name ?? (size && `Qwen/Qwen3-${size}`);
  const reads = said.feature_input_hook ?? (size && 'mlp.hook_in');
  const writes = said.feature_output_hook ?? (size && 'hook_mlp_out');
  if (!reads || !writes)
    throw new Error(
      `${folder.name}/${file}: nothing says that this is a transcoder and where it reads: expected ${CONFIG} beside it with feature_input_hook and feature_output_hook, as circuit-tracer has them.`,
    );
  // What the MLP itself gives, which is what is added to the stream but in Gemma, where a norm comes behind it.
  const added = writes === 'mlp.hook_out' && !/gemma/i.test(model ?? 'gemma') ? 'hook_mlp_out' : writes;
  return { layer, model, reads, writes: added };
}

async function readCrossLayer(files: SaeFiles, [encoder, decoder]: readonly [string, string]): Promise<Plan> {
  const [ofEncoder, ofDecoder] = [
    tensorsOf(await files.tensors(encoder)),
    tensorsOf(await files.tensors(decoder)),
  ];
  const N = TRANSCODER_FILE.exec(encoder)![1]!;
  const threshold = ofEncoder.has(`threshold_${N}`);
  const arrays = {
    W_enc: { tensor: ofEncoder.take(`W_enc_${N}`) },
    b_enc: { tensor: ofEncoder.take(`b_enc_${N}`) },
    W_dec: crossLayerDecoder(ofDecoder.take(`W_dec_${N}`), `${files.folder.name}/${decoder}`),
    b_dec: { tensor: ofEncoder.take(`b_dec_${N}`) },
    ...(threshold ? { threshold: { tensor: ofEncoder.take(`threshold_${N}`) } } : {}),
  };
  ofEncoder.finish();
  ofDecoder.finish();
  const [[D], [F]] = [arrays.b_dec.tensor.shape, arrays.b_enc.tensor.shape];
  const [, Dout] = arrays.W_dec.tensor.shape;
  const places = Dout! / D!;
  const { layer, model, reads, writes } = await placeOf(files, threshold);
  const config: SaeConfig = {
    architecture: threshold ? 'jumprelu' : 'relu',
    ...{ D: D!, F: F!, Dout: Dout!, places },
    metadata: {
      ...(model ? { model_name: model } : {}),
      hook_name: `blocks.${layer}.${reads}`,
      hook_names_out: Array.from({ length: places }, (_, p) => `blocks.${layer + p}.${writes}`),
    },
  };
  return { config, arrays, notes: [CROSS_LAYER] };
}

async function read(files: SaeFiles): Promise<Plan> {
  const pair = crossLayerFiles(files.file!);
  if (pair) return await readCrossLayer(files, pair);
  const tensors = tensorsOf(await files.tensors(files.file!));
  const threshold = tensors.has(THRESHOLD);
  const arrays: Plan['arrays'] = {
    W_enc: { tensor: tensors.take('W_enc') },
    b_enc: { tensor: tensors.take('b_enc') },
    W_dec: { tensor: tensors.take('W_dec') },
    b_dec: { tensor: tensors.take('b_dec') },
    ...(threshold ? { threshold: { tensor: tensors.take(THRESHOLD) } } : {}),
    ...(tensors.has('W_skip') ? { W_skip: { tensor: tensors.take('W_skip') } } : {}),
  };
  tensors.finish();
  // No matrix tells the widths: biases do, whichever way the matrices lie.
  const [[D], [F]] = [tensors.take('b_dec').shape, tensors.take('b_enc').shape];
  const { layer, model, reads, writes } = await placeOf(files, threshold);
  const config: SaeConfig = {
    architecture: threshold ? 'jumprelu' : 'relu',
    ...{ D: D!, F: F!, Dout: D! },
    metadata: {
      ...(model ? { model_name: model } : {}),
      ...{ hook_name: `blocks.${layer}.${reads}`, hook_name_out: `blocks.${layer}.${writes}` },
    },
  };
  return { config, arrays, notes: [] };
}

export const circuitTracer: Format = {
  title: 'circuit-tracer',
  folders: [],
  // Activations are kept under such names, too.
  async matches({ file = '', tensors: open }) {
    if (!TRANSCODER_FILE.test(file)) return false;
    if (crossLayerFiles(file)) return true;
    const { tensors } = await open(file);
    return tensors.has('W_enc') && tensors.has('W_dec');
  },
  read,
};
