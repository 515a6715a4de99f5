/**
 * Llama Scope as released (hyperparams.json + checkpoints/final.safetensors): JumpReLU of s x, one threshold for all latents.
 *
 *     encoder.weight [F,D]   encoder.bias [F]   decoder.weight [D,F]   decoder.bias [D]
 *     s = sqrt(D) / dataset_average_activation_norm.in       W_enc s, W_dec / s, b_dec / s, threshold s        folded
 *
 * That the threshold takes s as well is SAELens's reading of these files, and ours with it: it is a matter of their units, which only
 * activations can settle (L0 about 50). The note says so.
 */
import type { SaeConfig } from '../types.ts';
import type { Arrays } from '../variants/variant.ts';
import { foldScales } from './fold.ts';
import { type Format, type Plan, type SaeFiles, settings, tensorsOf } from './format.ts';

const HYPERPARAMS = 'hyperparams.json';
const WEIGHTS = 'checkpoints/final.safetensors';

async function read(files: SaeFiles): Promise<Plan> {
  const { folder } = files;
  const where = `${folder.name}/${HYPERPARAMS}`;
  const json = (await files.json(HYPERPARAMS))!;
  const cfg = settings(json, where);
  const [D, F, theta] = [cfg.count('d_model'), cfg.count('d_sae'), cfg.number('jump_relu_threshold')];
  const norms = settings((json.dataset_average_activation_norm ?? {}) as Record<string, unknown>, where);
  const [normIn, normOut] = [norms.number('in'), norms.number('out')];
  const [hookIn, hookOut] = [String(cfg.any('hook_point_in')), String(cfg.any('hook_point_out'))];
  const transcoder = hookIn !== hookOut;
  const scale = Math.sqrt(D) / normIn;
  const back = transcoder ? Math.sqrt(D) / normOut : scale;
  const tensors = tensorsOf(await files.tensors(WEIGHTS));
  const arrays: Plan['arrays'] = {
    W_enc: { tensor: tensors.take('encoder.weight') },
    b_enc: { tensor: tensors.take('encoder.bias') },
    W_dec: { tensor: tensors.take('decoder.weight'), transposed: true },
    b_dec: { tensor: tensors.take('decoder.bias') },
    threshold: new Float32Array(F).fill(theta * scale),
  };
  tensors.finish();
  const config: SaeConfig = {
    architecture: 'jumprelu',
    ...{ D, F },
    ...(transcoder ? { Dout: D } : { subtractDecoderBias: false }),
    metadata: {
      model_name: 'meta-llama/Llama-3.1-8B',
      hook_name: hookIn,
      ...(transcoder ? { hook_name_out: hookOut } : {}),
    },
  };
  return {
    config,
    arrays,
    fold: (all: Arrays) => foldScales(all, scale, back),
    notes: [
      `The scale ${scale.toPrecision(6)} of the data set's activations is folded into weights and threshold. Whether the threshold takes it is settled only by activations: expect an L0 of about 50.`,
    ],
  };
}

export const llamaScope: Format = {
  title: 'Llama Scope',
  matches: async ({ folder, file }) =>
    file === undefined && (await folder.has(HYPERPARAMS)) && (await folder.has(WEIGHTS)),
  read,
};
