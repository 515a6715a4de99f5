/**
 * Llama Scope as released (hyperparams.json + checkpoints/final.safetensors): JumpReLU of s x, one threshold for all latents.
 *
 *     encoder.weight [F,D]   encoder.bias [F]   decoder.weight [D,F]   decoder.bias [D]
 *     s = sqrt(D) / dataset_average_activation_norm.in       W_enc s, W_dec / s, b_dec / s, threshold s        folded
 *     sparsity_include_decoder_norm: what is active is decided on pre |decoder row|                            folded
 *
 * The threshold takes s: its authors chose it with s folded into the biases, on pre = W x + b / s, so that L0 is top_k there (50 as released;
 * their post_processing.py of November 2024). SAELens reads it so, too, but leaves decoder norms out, which is the same where they are 1.
 */
import type { SaeConfig } from '../types.ts';
import type { Arrays } from '../variants/variant.ts';
import { foldDecoderNorms, foldScales } from './fold.ts';
import { type Format, type Plan, type SaeFiles, settings, tensorsOf } from './format.ts';

const HYPERPARAMS = 'hyperparams.json';
const WEIGHTS = 'checkpoints/final.safetensors';

/** How it was trained: what the finished SAE computes does not depend on them. */
const OTHER_KEYS = [
  ...['device', 'seed', 'dtype', 'expansion_factor', 'bias_init_method', 'decoder_exactly_fixed_norm', 'lp'],
  ...['init_decoder_norm', 'init_encoder_norm', 'init_encoder_with_decoder_transpose', 'l1_coefficient'],
  ...['l1_coefficient_warmup_steps', 'top_k', 'initial_k', 'k_warmup_steps', 'use_batch_norm_mse'],
  ...['use_ghost_grads', 'tp_size', 'ddp_size', 'sae_pretrained_name_or_path', 'strict_loading'],
];

async function read(files: SaeFiles): Promise<Plan> {
  const { folder } = files;
  const where = `${folder.name}/${HYPERPARAMS}`;
  const json = (await files.json(HYPERPARAMS))!;
  const cfg = settings(json, where);
  const [D, F, theta] = [cfg.count('d_model'), cfg.count('d_sae'), cfg.number('jump_relu_threshold')];
  const norms = settings(
    (cfg.any('dataset_average_activation_norm') ?? {}) as Record<string, unknown>,
    where,
  );
  const [normIn, normOut] = [norms.number('in'), norms.number('out')];
  const [hookIn, hookOut] = [cfg.text('hook_point_in'), cfg.text('hook_point_out')];
  // A TopK file with a threshold is a JumpReLU SAE to its authors' loader as well.
  cfg.oneOf('act_fn', ['jumprelu', 'topk'], 'jumprelu');
  cfg.oneOf('norm_activation', ['dataset-wise'], 'dataset-wise');
  for (const key of ['use_glu_encoder', 'apply_decoder_bias_to_pre_encoder'])
    if (cfg.flag(key, false)) throw new Error(`${where}: ${key} is true: such encoders are not read.`);
  if (!cfg.flag('use_decoder_bias', true))
    throw new Error(`${where}: use_decoder_bias is false: SAEs of Llama Scope have one.`);
  const byDecoder = cfg.flag('sparsity_include_decoder_norm', false);
  cfg.ignore(...OTHER_KEYS);
  cfg.finish();
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
    fold(all: Arrays) {
      if (byDecoder) foldDecoderNorms(all, F);
      foldScales(all, scale, back);
    },
    notes: [
      `The scale ${scale.toPrecision(6)} of the data set's activations is folded into weights and threshold.`,
      ...(byDecoder
        ? ['Decoder norms are folded into the encoder: latents are in units of what they write.']
        : []),
    ],
  };
}

export const llamaScope: Format = {
  title: 'Llama Scope',
  folders: [[HYPERPARAMS, WEIGHTS]],
  matches: async ({ folder, file }) =>
    file === undefined && (await folder.has(HYPERPARAMS)) && (await folder.has(WEIGHTS)),
  read,
};
