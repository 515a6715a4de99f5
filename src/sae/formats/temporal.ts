/**
 * Temporal SAEs as released (canrager/temporalSAEs): conf.yaml + latest_ckpt.safetensors.
 *
 *     D [F,D] decoder   E [D,F] encoder, absent where it is tied: D^T   b [D]   attn_layers.L.{q_target,k_ctx,v_ctx,c_proj}.{weight,bias}
 *     conf   llm.dimin D   sae.exp_factor F / D   sae.{n_heads, n_attn_layers, bottleneck_factor, sae_diff_type, kval_topk, tied_weights, scaling_factor}
 *     x' = scaling_factor x, and xhat' back: W_enc s, W_dec / s, b_dec / s, epsilon 1e-6 / s                folded
 */
import type { NamedTensor } from '../../formats/index.ts';
import type { SaeConfig } from '../types.ts';
import type { Arrays } from '../variants/variant.ts';
import { foldScales } from './fold.ts';
import { type Format, type Plan, type SaeFiles, type Slot, settings, tensorsOf } from './format.ts';

const CONF = 'conf.yaml';
const WEIGHTS = 'latest_ckpt.safetensors';
/** Of |d| + epsilon, in units of the rows that it was trained on. */
export const EPSILON = 1e-6;

/** Our name of a part of a layer -> theirs, which is SAELens's too. */
export const ATTENTION = { q: 'q_target', k: 'k_ctx', v: 'v_ctx', out: 'c_proj' } as const;

export const attentionName = (layer: number, part: keyof typeof ATTENTION, kind: 'weight' | 'bias'): string =>
  `attn_layers.${layer}.${ATTENTION[part]}.${kind}`;

export function attentionSlots(take: (name: string) => NamedTensor, layers: number): Record<string, Slot> {
  const slots: Record<string, Slot> = {};
  for (let l = 0; l < layers; l++)
    for (const part of Object.keys(ATTENTION) as (keyof typeof ATTENTION)[]) {
      slots[`attn.${l}.${part}`] = { tensor: take(attentionName(l, part, 'weight')) };
      slots[`attn.${l}.${part}_bias`] = { tensor: take(attentionName(l, part, 'bias')) };
    }
  return slots;
}

async function read(files: SaeFiles): Promise<Plan> {
  const { folder, path, overrides } = files;
  const where = `${folder.name}/${CONF}`;
  const conf = settings((await files.yaml(CONF))!, where);
  const number = (key: string): number => {
    const value = Number(conf.text(key));
    if (!(value > 0)) throw new Error(`${where}: ${key} is ${value}, expected a number above 0`);
    return value;
  };
  const D = number('llm.dimin');
  const F = Math.floor(D * number('sae.exp_factor'));
  const layers = number('sae.n_attn_layers');
  const tied = conf.text('sae.tied_weights').toLowerCase() === 'true';
  const ranked = conf.oneOf('sae.sae_diff_type', ['topk', 'relu']) === 'topk';
  const scale = number('sae.scaling_factor');
  const tensors = tensorsOf(await files.tensors(WEIGHTS));
  const W_dec = tensors.take('D');
  const arrays: Plan['arrays'] = {
    W_enc: tied ? { tensor: W_dec } : { tensor: tensors.take('E'), transposed: true },
    b_enc: new Float32Array(F),
    W_dec: { tensor: W_dec },
    b_dec: { tensor: tensors.take('b') },
    ...attentionSlots(tensors.take, layers),
  };
  tensors.finish();
  const layer = /layer_(\d+)/.exec(path)?.[1];
  // What SAELens's registry says of a release.
  const said = Object.fromEntries(
    ['model_name', 'hook_name'].flatMap((key) =>
      typeof overrides[key] === 'string' ? [[key, overrides[key]]] : [],
    ),
  );
  const config: SaeConfig = {
    architecture: 'temporal',
    ...{ D, F, K: ranked ? number('sae.kval_topk') : F, heads: number('sae.n_heads'), layers },
    ...{ attentionWidth: F / number('sae.bottleneck_factor'), epsilon: EPSILON / scale },
    metadata: {
      ...(layer === undefined ? {} : { hook_name: `blocks.${layer}.hook_resid_post` }),
      ...said,
    },
  };
  return {
    config,
    arrays,
    fold: (all: Arrays) => foldScales(all, scale),
    notes: [
      `The scale ${scale} of conf.yaml is folded into the weights.`,
      ...(layer === undefined && said.hook_name === undefined
        ? ['Which layer it reads stands in the released path only: name the hook.']
        : []),
    ],
  };
}

export const temporal: Format = {
  title: 'Temporal SAE',
  folders: [[WEIGHTS, CONF]],
  matches: async ({ folder, file }) =>
    (file === undefined || file === WEIGHTS) && (await folder.has(CONF)) && (await folder.has(WEIGHTS)),
  read,
};
