/**
 * SAELens (sae_lens/saes, sae_lens/loading), cfg.json + sae_weights.safetensors, version 6 and what 3 to 5 wrote.
 *
 *     file   W_enc [D,F]   b_enc [F]   W_dec [F,Dout]   b_dec [Dout]   threshold, b_gate, b_mag, r_mag [F]   W_skip [Dout,D]
 *     gated has no b_enc; BatchTopK and Matryoshka are saved as jumprelu; topk_threshold and log_threshold stand in training checkpoints
 *
 *     rescale_acts_by_decoder_norm:  z = TopK(pre |W_dec rows|), decoded with W_dec / |W_dec rows|        folded
 *     scaling_factor [F], of fine-tuning:  z = ReLU(pre) s                                             taken when all are 1
 */
import { readNumbers } from '../../formats/index.ts';
import type { FolderWriter } from '../../store/types.ts';
import { describeSae, outputWidth } from '../check.ts';
import type { InputNorm, Sae, SaeConfig } from '../types.ts';
import type { Architecture } from '../variants/registry.ts';
import type { Arrays } from '../variants/variant.ts';
import { foldDecoderNorms, foldScales } from './fold.ts';
import {
  type Format,
  hasPair,
  type Plan,
  type SaeFiles,
  type Slot,
  scalar,
  settings,
  tensorsOf,
} from './format.ts';
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

/** SAELens's name -> ours, and whether it reads one place and writes another. */
const KINDS: Readonly<Record<string, { architecture: Architecture; transcoder?: true; skip?: true }>> = {
  standard: { architecture: 'relu' },
  gated: { architecture: 'gated' },
  jumprelu: { architecture: 'jumprelu' },
  topk: { architecture: 'topk' },
  abstopk: { architecture: 'topk' },
  batchtopk: { architecture: 'batchtopk' },
  matryoshka_batchtopk: { architecture: 'matryoshka' },
  transcoder: { architecture: 'relu', transcoder: true },
  skip_transcoder: { architecture: 'relu', transcoder: true, skip: true },
  jumprelu_transcoder: { architecture: 'jumprelu', transcoder: true },
  jumprelu_skip_transcoder: { architecture: 'jumprelu', transcoder: true, skip: true },
};

const NORMS: Readonly<Record<string, InputNorm>> = { layer_norm: 'layer', constant_norm_rescale: 'norm' };

/** Settings of training and bookkeeping: what the finished SAE computes does not depend on them. */
const OTHER_KEYS = [
  ...[
    'dtype',
    'device',
    'decoder_init_norm',
    'l1_coefficient',
    'l0_coefficient',
    'lp_norm',
    'l1_warm_up_steps',
  ],
  ...['l0_warm_up_steps', 'aux_loss_coefficient', 'jumprelu_init_threshold', 'jumprelu_bandwidth'],
  ...[
    'jumprelu_sparsity_loss_mode',
    'pre_act_loss_coefficient',
    'jumprelu_tanh_scale',
    'use_sparse_activations',
  ],
  ...[
    'topk_threshold_lr',
    'matryoshka_widths',
    'use_matryoshka_aux_loss',
    'sae_lens_version',
    'finetuning_scaling_factor',
  ],
];

/** Fields of the flat cfg.json of versions before 6 that say where the SAE comes from. */
const OLD_METADATA: Readonly<Record<string, string>> = {
  model_name: 'model_name',
  hook_name: 'hook_name',
  hook_point: 'hook_name',
  hook_head_index: 'hook_head_index',
  hook_point_head_index: 'hook_head_index',
  hook_layer: 'hook_layer',
  context_size: 'context_size',
  dataset_path: 'dataset_path',
  prepend_bos: 'prepend_bos',
  model_from_pretrained_kwargs: 'model_from_pretrained_kwargs',
  neuronpedia_id: 'neuronpedia_id',
};

/** The cfg.json of any version in the form of version 6. */
function modernised(cfg: Record<string, unknown>): Record<string, unknown> {
  const {
    activation_fn_str,
    activation_fn,
    activation_fn_kwargs,
    normalize_activations,
    architecture,
    ...rest
  } = cfg;
  const activation = activation_fn_str ?? activation_fn ?? 'relu';
  if (!['relu', 'topk'].includes(String(activation)))
    throw new Error(`activation_fn is ${JSON.stringify(activation)}, expected relu or topk`);
  const metadata: Record<string, unknown> = {};
  for (const [key, name] of Object.entries(OLD_METADATA))
    if (rest[key] !== undefined) metadata[name] ??= rest[key];
  metadata.prepend_bos ??= true;
  const hook = String(metadata.hook_name ?? '');
  const known = [
    'd_in',
    'd_sae',
    'dtype',
    'device',
    'apply_b_dec_to_input',
    'finetuning_scaling_factor',
    'reshape_activations',
  ];
  const kept = Object.fromEntries(
    known.flatMap((key) => (rest[key] === undefined ? [] : [[key, rest[key]]])),
  );
  return {
    apply_b_dec_to_input: true,
    reshape_activations: hook.includes('hook_z') ? 'hook_z' : 'none',
    ...kept,
    architecture: activation === 'topk' ? 'topk' : (architecture ?? 'standard'),
    ...(activation === 'topk'
      ? { k: (activation_fn_kwargs as { k?: unknown } | undefined)?.k ?? rest.k }
      : {}),
    normalize_activations:
      typeof normalize_activations === 'boolean'
        ? normalize_activations
          ? 'expected_average_only_in'
          : 'none'
        : (normalize_activations ?? 'none'),
    metadata,
  };
}

/** What of a BatchTopK or Matryoshka SAE the JumpReLU file has no field for; in its metadata. */
type Saekit = { readonly k: number; readonly threshold: number; readonly prefixes?: readonly number[] };

async function read(files: SaeFiles): Promise<Plan> {
  const { folder } = files;
  const where = `${folder.name}/${CFG_FILE}`;
  const raw = (await files.json(CFG_FILE))!;
  const rawMetadata = (raw.metadata ?? {}) as Record<string, unknown>;
  const version = rawMetadata.sae_lens_version ?? raw.sae_lens_version;
  const major = typeof version === 'string' ? Number.parseInt(version, 10) : 0;
  let json: Record<string, unknown>;
  try {
    json = major >= 6 || raw.metadata !== undefined ? raw : modernised(raw);
  } catch (error) {
    throw new Error(`${where}: ${(error as Error).message}`);
  }
  const cfg = settings(json, where);
  const name = cfg.any('architecture');
  const kind = KINDS[String(name)];
  if (!kind)
    throw new Error(
      `${where}: architecture ${JSON.stringify(name) ?? 'missing'}; known are ${Object.keys(KINDS).join(', ')}.`,
    );
  const [D, F] = [cfg.count('d_in'), cfg.count('d_sae')];
  const notes: string[] = [];
  const {
    sae_lens_version: _a,
    sae_lens_training_version: _b,
    saekit,
    ...metadata
  } = (json.metadata ?? {}) as Record<string, unknown>;
  cfg.ignore('metadata', ...OTHER_KEYS);

  const file = await files.tensors(WEIGHTS_FILE);
  const tensors = tensorsOf(file);
  const slots: Record<string, Slot | Float32Array> = {
    W_enc: { tensor: tensors.take('W_enc'), transposed: true },
    W_dec: { tensor: tensors.take('W_dec') },
    b_dec: { tensor: tensors.take('b_dec') },
    b_enc: { tensor: kind.architecture === 'gated' ? tensors.take('b_gate') : tensors.take('b_enc') },
  };
  if (kind.architecture === 'gated')
    for (const array of ['b_mag', 'r_mag']) slots[array] = { tensor: tensors.take(array) };
  if (kind.architecture === 'jumprelu')
    slots.threshold =
      tensors.has('log_threshold') && !tensors.has('threshold')
        ? { tensor: tensors.take('log_threshold'), change: Math.exp }
        : { tensor: tensors.take('threshold') };
  if (kind.skip) slots.W_skip = { tensor: tensors.take('W_skip') };

  const shared = {
    D,
    F,
    ...(kind.transcoder ? { Dout: cfg.count('d_out') } : {}),
    ...(!kind.transcoder && !cfg.flag('apply_b_dec_to_input', true) ? { subtractDecoderBias: false } : {}),
    metadata,
  };
  if (kind.transcoder) cfg.ignore('apply_b_dec_to_input');
  const folds: ((arrays: Arrays) => void)[] = [];
  const norm = cfg.oneOf(
    'normalize_activations',
    ['none', 'expected_average_only_in', 'constant_norm_rescale', 'constant_scalar_rescale', 'layer_norm'],
    'none',
  );
  if (norm === 'constant_scalar_rescale')
    throw new Error(
      `${where}: normalize_activations is "constant_scalar_rescale", whose scalar is not in the file`,
    );
  if (norm === 'expected_average_only_in') {
    const scaler = await files.json('activation_scaler.json');
    const factor = scaler?.scaling_factor;
    if (typeof factor === 'number' && factor > 0) {
      folds.push((arrays) => foldScales(arrays, factor));
      notes.push(`The input scale ${factor} of activation_scaler.json is folded into the weights.`);
    } else
      notes.push(
        'The input scale (expected_average_only_in) is taken as folded into the weights, as SAELens does.',
      );
  }
  const inputNorm = NORMS[norm];
  const reshape = cfg.oneOf('reshape_activations', ['none', 'hook_z'], 'none');

  if (cfg.flag('rescale_acts_by_decoder_norm', false)) {
    folds.push((arrays) => foldDecoderNorms(arrays, F));
    notes.push('Decoder norms are folded into the encoder: latents are in units of what they write.');
  }
  if (tensors.has('scaling_factor')) {
    const factors = await readNumbers(tensors.take('scaling_factor'));
    if (factors.some((factor) => factor !== 1))
      throw new Error(
        `${file.name}: scaling_factor is not 1 everywhere: a fine-tuned SAE of SAELens before 6, which is not read.`,
      );
  }
  const config: SaeConfig = await configOf();
  cfg.finish();
  tensors.finish();
  if (D === F && major < 6)
    throw new Error(
      `${file.name}: d_in and d_sae are both ${D}, so the shapes do not tell whether W_enc is [d_in, d_sae], and ${CFG_FILE} names no SAELens version >= 6 in its metadata. If it is SAELens's layout, add "sae_lens_version": "6.0.0" to its metadata.`,
    );
  return {
    config: {
      ...config,
      ...(inputNorm ? { inputNorm } : {}),
      ...(reshape === 'hook_z' ? { flattened: true } : {}),
    } as SaeConfig,
    arrays: slots,
    ...(folds.length > 0 ? { fold: (arrays: Arrays) => folds.forEach((fold) => void fold(arrays)) } : {}),
    notes,
  };

  /** What we saved as JumpReLU, as SAELens does, is what it was again, if its thresholds are still the one of then. */
  async function savedHere(was: Saekit | undefined): Promise<SaeConfig | undefined> {
    if (was === undefined) return undefined;
    const thresholds = await readNumbers((slots.threshold as Slot).tensor);
    if (thresholds.some((theta) => theta !== Math.fround(was.threshold))) return undefined;
    delete slots.threshold;
    const { k: K, threshold, prefixes } = was;
    return prefixes
      ? { ...shared, architecture: 'matryoshka', K, threshold, prefixes }
      : { ...shared, architecture: 'batchtopk', K, threshold };
  }

  async function configOf(): Promise<SaeConfig> {
    switch (kind!.architecture) {
      case 'topk': {
        const K = cfg.count('k');
        if (K > F) throw new Error(`${where}: k = ${K} active latents of d_sae = ${F}`);
        return { ...shared, architecture: 'topk', K, ...(name === 'abstopk' ? { signed: true } : {}) };
      }
      case 'batchtopk':
      case 'matryoshka': {
        const [K, threshold] = [cfg.number('k'), await scalar(tensors.take('topk_threshold'), file.name)];
        const widths = json.matryoshka_widths as number[] | undefined;
        if (kind!.architecture === 'batchtopk' || !widths)
          return { ...shared, architecture: 'batchtopk', K, threshold };
        const prefixes = widths.at(-1) === F ? widths : [...widths, F];
        return { ...shared, architecture: 'matryoshka', K, threshold, prefixes };
      }
      case 'jumprelu':
        return (await savedHere(saekit as Saekit | undefined)) ?? { ...shared, architecture: 'jumprelu' };
      default:
        cfg.ignore('k');
        return { ...shared, architecture: kind!.architecture as 'relu' };
    }
  }
}

const NAMES: Readonly<Record<Architecture, readonly [plain: string, transcoder?: string, skip?: string]>> = {
  relu: ['standard', 'transcoder', 'skip_transcoder'],
  gated: ['gated'],
  jumprelu: ['jumprelu', 'jumprelu_transcoder', 'jumprelu_skip_transcoder'],
  topk: ['topk'],
  // As SAELens saves them for inference.
  batchtopk: ['jumprelu'],
  matryoshka: ['jumprelu'],
};

/** The object that cfg.json holds for an SAE. Metadata names are SAELens's: model_name, hook_name, context_size, … */
function cfgOf(sae: Sae): Record<string, unknown> {
  const { config } = sae;
  const { architecture, D, F, Dout, metadata } = config;
  const signed = architecture === 'topk' && config.signed;
  const [plain, transcoder, skip] = NAMES[architecture];
  const name = signed ? 'abstopk' : Dout === undefined ? plain : sae.W_skip ? skip : transcoder;
  if (name === undefined || sae.b_token || (sae.W_skip && Dout === undefined))
    throw new Error(
      `SAELens has no place for ${describeSae(config)}${sae.b_token ? ' with token bias' : ''}${sae.W_skip ? ' with a skip connection' : ''}.`,
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
    metadata: { ...metadata, ...extra, sae_lens_version: FORMAT_VERSION, sae_lens_training_version: null },
  };
}

/** cfg.json and sae_weights.safetensors, loadable with `SAE.load_from_disk`. Beyond the SAE itself this takes one block of at most 8 MB. */
async function write(sae: Sae, folder: FolderWriter, signal?: AbortSignal): Promise<void> {
  const { D, F, architecture } = sae.config;
  const Dout = outputWidth(sae.config);
  const cfg = jsonBytes(cfgOf(sae));
  const gated = architecture === 'gated';
  const threshold =
    'threshold' in sae.config ? new Float32Array(F).fill(sae.config.threshold) : sae.threshold;
  const tensors: NamedArray[] = [
    { name: 'b_dec', shape: [Dout], data: sae.b_dec },
    { name: gated ? 'b_gate' : 'b_enc', shape: [F], data: sae.b_enc },
    ...(gated
      ? [
          { name: 'b_mag', shape: [F], data: sae.b_mag! },
          { name: 'r_mag', shape: [F], data: sae.r_mag! },
        ]
      : []),
    ...(threshold ? [{ name: 'threshold', shape: [F], data: threshold }] : []),
    { name: 'W_dec', shape: [F, Dout], data: sae.W_dec },
    ...(sae.W_skip ? [{ name: 'W_skip', shape: [Dout, D], data: sae.W_skip }] : []),
    { name: 'W_enc', shape: [D, F], data: sae.W_enc },
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

export const saelens: Format = {
  title: 'SAELens',
  matches: (files) => hasPair(files, CFG_FILE, WEIGHTS_FILE),
  read,
  write,
};
