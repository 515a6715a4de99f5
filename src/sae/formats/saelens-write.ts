/** Writes SAELens's cfg.json + sae_weights.safetensors, as of version 6; saelens.ts says what lies in them. */
import type { FolderWriter } from '../../store/types.ts';
import { describeSae, outputWidth, shapesOf } from '../check.ts';
import type { Sae } from '../types.ts';
import type { Architecture } from '../variants/registry.ts';
import { type ATTENTION, attentionName } from './temporal.ts';
import {
  bytesOf,
  checkFinite,
  jsonBytes,
  type NamedArray,
  safetensorsHeader,
  transposedBlocks,
} from './write.ts';

export const CFG_FILE = 'cfg.json';
export const WEIGHTS_FILE = 'sae_weights.safetensors';

/** SAELens decides by this how to read cfg.json: below 6 it expects other fields. */
const FORMAT_VERSION = '6.0.0';

/** What of a BatchTopK or Matryoshka SAE the JumpReLU file has no field for; in its metadata. */
export type Saekit = {
  readonly k: number;
  readonly threshold: number;
  readonly prefixes?: readonly number[];
};

const NAMES: Readonly<Record<Architecture, readonly [plain?: string, transcoder?: string, skip?: string]>> = {
  relu: ['standard', 'transcoder', 'skip_transcoder'],
  gated: ['gated'],
  jumprelu: ['jumprelu', 'jumprelu_transcoder', 'jumprelu_skip_transcoder'],
  topk: ['topk'],
  groupmax: [],
  // As SAELens saves them for inference.
  batchtopk: ['jumprelu', 'jumprelu_transcoder', 'jumprelu_skip_transcoder'],
  matryoshka: ['jumprelu'],
  'matching-pursuit': ['matching_pursuit'],
  temporal: ['temporal'],
};

/** The object that cfg.json holds for an SAE. Metadata names are SAELens's: model_name, hook_name, context_size, … */
function cfgOf(sae: Sae): Record<string, unknown> {
  const { config } = sae;
  const { architecture, D, F, Dout, metadata } = config;
  const signed = architecture === 'topk' && config.signed;
  const [plain, transcoder, skip] = NAMES[architecture];
  const name = signed ? 'abstopk' : Dout === undefined ? plain : sae.W_skip ? skip : transcoder;
  if (name === undefined || (sae.W_skip && Dout === undefined))
    throw new Error(
      `SAELens has no place for ${describeSae(config)}${sae.W_skip ? ' with a skip connection' : ''}.`,
    );
  const extra =
    architecture === 'batchtopk' || architecture === 'matryoshka'
      ? {
          saekit: {
            k: config.K,
            threshold: config.threshold,
            ...(architecture === 'matryoshka' ? { prefixes: config.prefixes } : {}),
          },
        }
      : architecture === 'temporal'
        ? { saekit: { epsilon: config.epsilon } }
        : {};
  const kwargs =
    config.inputNorm === 'centre'
      ? {
          model_from_pretrained_kwargs: {
            ...(metadata.model_from_pretrained_kwargs as object | undefined),
            center_writing_weights: true,
          },
        }
      : {};
  return {
    architecture: name,
    d_in: D,
    d_sae: F,
    ...(Dout === undefined ? {} : { d_out: Dout }),
    ...(architecture === 'topk' ? { k: config.K } : {}),
    dtype: 'float32',
    device: 'cpu',
    apply_b_dec_to_input: Dout === undefined && config.subtractDecoderBias !== false,
    normalize_activations:
      config.inputNorm === 'layer'
        ? 'layer_norm'
        : config.inputNorm === 'norm'
          ? 'constant_norm_rescale'
          : 'none',
    reshape_activations: config.flattened ? 'hook_z' : 'none',
    ...(architecture === 'topk' ? { rescale_acts_by_decoder_norm: false } : {}),
    ...(architecture === 'matching-pursuit'
      ? {
          residual_threshold: config.residualThreshold,
          max_iterations: config.steps,
          stop_on_duplicate_support: config.revisits !== true,
        }
      : {}),
    ...(architecture === 'temporal'
      ? {
          ...{ n_heads: config.heads, n_attn_layers: config.layers },
          bottleneck_factor: F / config.attentionWidth,
          sae_diff_type: config.K < F ? 'topk' : 'relu',
          ...{ kval_topk: config.K < F ? config.K : null, tied_weights: false },
        }
      : {}),
    metadata: {
      ...metadata,
      ...kwargs,
      ...extra,
      sae_lens_version: FORMAT_VERSION,
      sae_lens_training_version: null,
    },
  };
}

/** Of a temporal SAE, under SAELens's names. */
function attentionArrays(sae: Sae): NamedArray[] {
  return Object.entries(shapesOf(sae.config)).flatMap(([name, shape]) => {
    const [, layer, part, bias] = /^attn\.(\d+)\.([a-z]+?)(_bias)?$/.exec(name) ?? [];
    if (layer === undefined) return [];
    const theirs = attentionName(Number(layer), part as keyof typeof ATTENTION, bias ? 'bias' : 'weight');
    return [{ name: theirs, shape, data: sae[name as `attn.${string}`]! }];
  });
}

/** cfg.json and sae_weights.safetensors, loadable with `SAE.load_from_disk`. Beyond the SAE itself this takes one block of at most 8 MB. */
export async function write(sae: Sae, folder: FolderWriter, signal?: AbortSignal): Promise<void> {
  const { D, F, architecture } = sae.config;
  const Dout = outputWidth(sae.config);
  const cfg = jsonBytes(cfgOf(sae));
  const gated = architecture === 'gated';
  // Its encoder is its decoder, which is all that SAELens saves of it.
  const tied = architecture === 'matching-pursuit';
  const inContext = architecture === 'temporal';
  const threshold =
    'threshold' in sae.config ? new Float32Array(F).fill(sae.config.threshold) : sae.threshold;
  const tensors: NamedArray[] = [
    { name: 'b_dec', shape: [Dout], data: sae.b_dec },
    ...(tied || inContext ? [] : [{ name: gated ? 'b_gate' : 'b_enc', shape: [F], data: sae.b_enc }]),
    ...(gated
      ? [
          { name: 'b_mag', shape: [F], data: sae.b_mag! },
          { name: 'r_mag', shape: [F], data: sae.r_mag! },
        ]
      : []),
    ...(threshold ? [{ name: 'threshold', shape: [F], data: threshold }] : []),
    { name: 'W_dec', shape: [F, Dout], data: sae.W_dec },
    ...(sae.W_skip ? [{ name: 'W_skip', shape: [Dout, D], data: sae.W_skip }] : []),
    // SAELens has no place for it, and refuses the file rather than to leave it out.
    ...(sae.b_token
      ? [{ name: 'b_token', shape: [sae.b_token.length / Dout, Dout], data: sae.b_token }]
      : []),
    ...(inContext ? attentionArrays(sae) : []),
    ...(tied ? [] : [{ name: 'W_enc', shape: [D, F], data: sae.W_enc }]),
  ];
  for (const { name, data } of tensors) checkFinite(name, data);
  const { header, byteLength } = safetensorsHeader(tensors);
  function* chunks(): Generator<Uint8Array> {
    yield header;
    for (const { name, data } of tensors) {
      signal?.throwIfAborted();
      if (name !== 'W_enc') yield bytesOf(data);
      else
        for (const block of transposedBlocks(data, F, D)) {
          signal?.throwIfAborted();
          yield bytesOf(block);
        }
    }
  }
  signal?.throwIfAborted();
  await folder.write(WEIGHTS_FILE, chunks(), byteLength);
  await folder.write(CFG_FILE, [cfg], cfg.length);
}
