/**
 * circuit-tracer (safety-research): transcoders of the layers of a model, layer_N.safetensors each, under one config.yaml.
 *
 *     W_enc [F,D]   b_enc [F]   W_dec [F,D]   b_dec [D]   activation_function.threshold [F]   W_skip [D,D]
 *     z = ReLU(W x + b_enc), or where it has a threshold JumpReLU;   xhat = z W_dec + b_dec (+ W_skip x)
 *     config.yaml: feature_input_hook and feature_output_hook (mlp.hook_in, mlp.hook_out), model_name
 *
 * The transcoders of Qwen3 and Llama 3.2 (mwhanna, mntss) are published so. The sets of one repository are read layer by layer: name the file.
 * TopK transcoders in this form (activation and k in config.yaml) are refused: circuit-tracer keeps values below 0 among their K largest.
 */
import type { SaeConfig } from '../types.ts';
import { type Format, type Plan, refuseComputing, type SaeFiles, tensorsOf } from './format.ts';

/** What the file of layer N is called. */
export const TRANSCODER_FILE = /^layer_(\d+)\.safetensors$/;
const CONFIG = 'config.yaml';
const SET = 'transcoder_set';
const THRESHOLD = 'activation_function.threshold';

/**
 * What config.yaml says; without one, what is known of a published repository (SAELens's loader for it has these hooks).
 *
 * @throws where neither says that the file is a transcoder: an SAE has the same four tensors, and reads x - b_dec
 */
async function placeOf(
  { yaml, path, folder, file }: SaeFiles,
  threshold: boolean,
): Promise<Record<string, unknown>> {
  const layer = TRANSCODER_FILE.exec(file!)![1]!;
  const said = (await yaml(CONFIG)) ?? {};
  const where = `${folder.name}/${CONFIG}`;
  refuseComputing(said, where, threshold ? /^jump_?relu$/i : /^relu$/i);
  const { model_kind: kind = SET } = said;
  if (kind !== SET) throw new Error(`${where}: model_kind is ${JSON.stringify(kind)}, expected "${SET}"`);
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
  return {
    ...(model ? { model_name: model } : {}),
    ...{ hook_name: `blocks.${layer}.${reads}`, hook_name_out: `blocks.${layer}.${added}` },
  };
}

async function read(files: SaeFiles): Promise<Plan> {
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
  const config: SaeConfig = {
    architecture: threshold ? 'jumprelu' : 'relu',
    ...{ D: D!, F: F!, Dout: D! },
    metadata: await placeOf(files, threshold),
  };
  return { config, arrays, notes: [] };
}

export const circuitTracer: Format = {
  title: 'circuit-tracer',
  folders: [],
  // Activations are kept under such names, too.
  async matches({ file = '', tensors: open }) {
    if (!TRANSCODER_FILE.test(file)) return false;
    const { tensors } = await open(file);
    return tensors.has('W_enc') && tensors.has('W_dec');
  },
  read,
};
