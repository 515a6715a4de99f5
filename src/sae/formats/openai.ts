/**
 * OpenAI's GPT-2 SAEs (openai/sparse_autoencoder), one .pt per layer.
 *
 *     pre_bias [D]   latent_bias [F]   encoder.weight [F,D]   decoder.weight [D,F]   activation "ReLU" or "TopK"   activation_state_dict.k
 *     z = act((x' - pre_bias) W^T + latent_bias);  xhat = z W_dec + pre_bias
 *     TopK: x' = (x - mean) / (std + 1e-5), std over D - 1, and xhat std + mean;   ReLU: x' = x
 *
 * That TopK files normalise their input stands nowhere in the file: the code that reads them derives it from the activation.
 */
import type { SaeConfig } from '../types.ts';
import { type Format, type Plan, refuseValues, type SaeFiles, scalar, tensorsOf } from './format.ts';

/** …/v5_32k/autoencoders/8.pt in a folder that names the place. */
function metadataOf(path: string): Record<string, unknown> {
  const layer = /(\d+)\.pt$/.exec(path)?.[1];
  const places: readonly [RegExp, string][] = [
    [/resid_post_attn/, 'hook_resid_mid'],
    [/resid_post_mlp/, 'hook_resid_post'],
    [/resid_delta_attn/, 'hook_attn_out'],
    [/resid_delta_mlp/, 'hook_mlp_out'],
    [/mlp_post_act/, 'mlp.hook_post'],
  ];
  const place = places.find(([pattern]) => pattern.test(path))?.[1];
  return {
    model_name: 'gpt2',
    ...(layer !== undefined && place ? { hook_name: `blocks.${layer}.${place}` } : {}),
  };
}

async function read(files: SaeFiles): Promise<Plan> {
  const { folder, path } = files;
  const name = files.file!;
  const where = `${folder.name}/${name}`;
  const file = await files.tensors(name);
  const tensors = tensorsOf(file);
  const arrays: Plan['arrays'] = {
    W_enc: { tensor: tensors.take('encoder.weight') },
    b_enc: { tensor: tensors.take('latent_bias') },
    W_dec: { tensor: tensors.take('decoder.weight'), transposed: true },
    b_dec: { tensor: tensors.take('pre_bias') },
  };
  refuseValues(file, where, /^(activation|activation_state_dict\.(k|postact_fn))$/);
  const activation = file.values.get('activation') ?? 'ReLU';
  const k = file.values.get('activation_state_dict.k');
  const K =
    typeof k === 'number'
      ? k
      : tensors.has('activation_state_dict.k')
        ? await scalar(tensors.take('activation_state_dict.k'), where)
        : undefined;
  tensors.ignore('stats_last_nonzero', 'latents_activation_frequency', 'latents_mean_square');
  tensors.finish();
  const [[D], [F]] = [tensors.take('pre_bias').shape, tensors.take('latent_bias').shape];
  const shared = { D: D!, F: F!, metadata: metadataOf(`${path}/${name}`) };
  const postact = file.values.get('activation_state_dict.postact_fn') ?? 'ReLU';
  if (activation === 'TopK' && (K === undefined || postact !== 'ReLU'))
    throw new Error(`${where}: TopK with k ${K ?? 'missing'} and ${postact}; expected a k and ReLU`);
  if (activation !== 'TopK' && activation !== 'ReLU')
    throw new Error(`${where}: activation is ${JSON.stringify(activation)}, expected "ReLU" or "TopK"`);
  const config: SaeConfig =
    activation === 'TopK'
      ? { ...shared, architecture: 'topk', K: K!, inputNorm: 'layer' }
      : { ...shared, architecture: 'relu' };
  const notes =
    activation === 'TopK' ? ['Its input is normalised per row: TopK files of OpenAI are read so.'] : [];
  return { config, arrays, notes };
}

export const openai: Format = {
  title: 'OpenAI',
  folders: [],
  async matches(files) {
    if (files.file === undefined || !/\.(pt|pth)$/.test(files.file)) return false;
    const { tensors } = await files.tensors(files.file);
    return tensors.has('latent_bias') && tensors.has('pre_bias');
  },
  read,
};
