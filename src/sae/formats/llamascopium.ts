/**
 * Llamascopium (OpenMOSS Language-Model-SAEs), config.json + sae_weights.safetensors.
 *
 *     W_E [D,F]   b_E [F]   W_D [F,Dout]   b_D [Dout]   log_jumprelu_threshold [F]   dataset_average_activation_norm.HOOK
 *     norm_activation   dataset-wise   x' = s x, s = sqrt(D) / norm of hook_point_in, xhat = xhat' norm of hook_point_out / sqrt(D)      folded
 *                       inference      the same was folded before the file was saved; the norm stands in it all the same, and means nothing
 *                       token-wise     x' = x sqrt(D) / |x|, undone on the output (inputNorm "norm")
 *     sparsity_include_decoder_norm: what is active is decided on pre |W_D row|, z is pre
 *
 * Its files of 2025 (lm_saes; Llama Scope R1 Distill) have encoder.weight [F,D], encoder.bias, decoder.weight [D,F], decoder.bias. Where
 * the norm of the data set is not among them it is taken from SAELens's registry, as s.
 */
import type { SaeConfig } from '../types.ts';
import type { Arrays } from '../variants/variant.ts';
import { foldDecoderNorms, foldScales, rowNorms } from './fold.ts';
import {
  type Format,
  hasPair,
  type Plan,
  REGISTERED_SCALE,
  type SaeFiles,
  type Slot,
  scalar,
  settings,
  tensorsOf,
} from './format.ts';

const CONFIG = 'config.json';
const WEIGHTS = 'sae_weights.safetensors';

/** How it was trained and on what it runs: what the finished SAE computes does not depend on them. */
const OTHER_KEYS = [
  ...['top_k', 'dtype', 'device', 'expansion_factor', 'jumprelu_threshold_window', 'strict_loading'],
  ...['use_triton_kernel', 'sparsity_threshold_for_triton_spmm_kernel', 'sae_pretrained_name_or_path'],
  // Of 2025: the threshold that a learned one took the place of, and what was done to the weights before they were saved.
  ...['jump_relu_threshold', 'force_unit_decoder_norm'],
];

async function read(files: SaeFiles): Promise<Plan> {
  const { folder } = files;
  const where = `${folder.name}/${CONFIG}`;
  const json = (await files.json(CONFIG))!;
  const cfg = settings(json, where);
  cfg.oneOf('sae_type', ['sae', 'transcoder'], 'sae');
  const D = cfg.count('d_model');
  const F = cfg.has('d_sae') ? cfg.count('d_sae') : Math.floor(D * cfg.number('expansion_factor'));
  const act = cfg.oneOf('act_fn', ['relu', 'jumprelu', 'topk']);
  const norm = cfg.oneOf('norm_activation', ['dataset-wise', 'inference', 'token-wise'], 'dataset-wise');
  const byDecoder = cfg.flag('sparsity_include_decoder_norm', true);
  const hookIn = cfg.text('hook_point_in');
  const hookOut = cfg.has('hook_point_out') ? cfg.text('hook_point_out') : hookIn;
  const withBias = cfg.flag('use_decoder_bias', true);
  for (const key of ['use_glu_encoder', 'apply_decoder_bias_to_pre_encoder'])
    if (cfg.flag(key, false)) throw new Error(`${where}: ${key} is true: such encoders are not read.`);
  const K = act === 'topk' ? cfg.count('top_k') : undefined;
  cfg.ignore(...OTHER_KEYS);
  cfg.finish();
  const file = await files.tensors(WEIGHTS);
  const tensors = tensorsOf(file);
  const transcoder = hookIn !== hookOut;
  const old = !tensors.has('W_E');
  const b_D = withBias ? { tensor: tensors.take('b_D', 'decoder.bias') } : new Float32Array(D);
  const registered = files.overrides[REGISTERED_SCALE];
  const normOf = async (hook: string): Promise<number> => {
    const name = `dataset_average_activation_norm.${hook}`;
    if (norm === 'dataset-wise' && !tensors.has(name) && typeof registered === 'number' && !transcoder)
      return registered;
    if (norm === 'dataset-wise' && old && !tensors.has(name))
      throw new Error(
        `${file.name}: no ${name}, which activations are scaled by. For the released files SAELens's registry has it: name the SAE as saelens:llama_scope_r1_distill/SAE_ID.`,
      );
    if (norm === 'dataset-wise') return Math.sqrt(D) / (await scalar(tensors.take(name), file.name));
    tensors.ignore(name);
    return 1;
  };
  const [scale, back] = [await normOf(hookIn), await normOf(hookOut)];
  const arrays: Record<string, Slot | Float32Array> = {
    W_enc: old
      ? { tensor: tensors.take('encoder.weight') }
      : { tensor: tensors.take('W_E'), transposed: true },
    b_enc: { tensor: tensors.take('b_E', 'encoder.bias') },
    W_dec: old
      ? { tensor: tensors.take('decoder.weight'), transposed: true }
      : { tensor: tensors.take('W_D') },
    b_dec: b_D,
    ...(act === 'jumprelu'
      ? {
          threshold: tensors.has('log_jumprelu_threshold')
            ? { tensor: tensors.take('log_jumprelu_threshold'), change: Math.exp }
            : { tensor: tensors.take('activation_function.log_jumprelu_threshold'), change: Math.exp },
        }
      : {}),
  };
  tensors.finish();
  const shared = {
    ...{ D, F },
    ...(transcoder ? { Dout: D } : { subtractDecoderBias: false }),
    ...(norm === 'token-wise' ? { inputNorm: 'norm' as const } : {}),
    metadata: { hook_name: hookIn, ...(transcoder ? { hook_name_out: hookOut } : {}) },
  };
  const config: SaeConfig =
    act === 'topk' ? { ...shared, architecture: 'topk', K: K! } : { ...shared, architecture: act };
  return {
    config,
    arrays,
    fold(all) {
      if (byDecoder && act === 'topk') foldDecoderNorms(all, F);
      if (byDecoder && act === 'jumprelu') foldNormsIntoThreshold(all, F);
      foldScales(all, scale, back);
    },
    notes: [
      ...(norm === 'dataset-wise'
        ? [`The scale ${scale.toPrecision(6)} of the data set's activations is folded into the weights.`]
        : []),
      ...(byDecoder && act === 'topk'
        ? ['Decoder norms are folded into the encoder: latents are in units of what they write.']
        : []),
    ],
  };
}

/** pre |W_D row| > threshold is pre > threshold / |W_D row|. Zero rows stay. */
function foldNormsIntoThreshold({ W_dec, threshold }: Arrays, F: number): void {
  for (const [f, norm] of rowNorms(W_dec, F).entries()) if (norm > 0) threshold![f]! /= norm;
}

export const llamascopium: Format = {
  title: 'Llamascopium',
  folders: [[WEIGHTS, CONFIG]],
  async matches(files) {
    if (!(await hasPair(files, CONFIG, WEIGHTS))) return false;
    const { tensors } = await files.tensors(WEIGHTS);
    return tensors.has('W_E') || tensors.has('encoder.weight');
  },
  read,
};
