/**
 * SAELens (sae_lens/saes, sae_lens/loading), cfg.json + sae_weights.safetensors, version 6 and what 3 to 5 wrote.
 *
 *     file   W_enc [D,F]   b_enc [F]   W_dec [F,Dout]   b_dec [Dout]   threshold, b_gate, b_mag, r_mag [F]   W_skip [Dout,D]   ours: b_token [V,Dout]
 *     gated has no b_enc; BatchTopK and Matryoshka are saved as jumprelu; topk_threshold and log_threshold stand in training checkpoints
 *
 *     activation_scaler.json, else the registry of releases, the s of sx: W_enc s, W_dec / s, b_dec / s   folded, before norms
 *     activation_whitening.safetensors, mean [D], matrix and inverse_matrix [D,D]: rows are (x - mean) M     folded, behind norms
 *     rescale_acts_by_decoder_norm:  z = TopK(pre |W_dec rows|), decoded with W_dec / |W_dec rows|        folded
 *     topk_threshold is in units of z of sx: after both folds topk_threshold / s; without norms z is pre, which no s changes
 *     scaling_factor [F], of fine-tuning:  z = ReLU(pre) s                                             taken when all are 1
 */
import { countOf, readElements, readNumbers } from '../../formats/index.ts';
import { subtractsBias } from '../check.ts';
import type { InputNorm, SaeConfig } from '../types.ts';
import type { Architecture } from '../variants/registry.ts';
import type { Arrays } from '../variants/variant.ts';
import { foldDecoderNorms, foldScales, foldWhitening, type Whitening } from './fold.ts';
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
import { rowsRead } from './model-kwargs.ts';
import { modernised, overridden } from './saelens-old.ts';
import { CFG_FILE, type Saekit, WEIGHTS_FILE, write } from './saelens-write.ts';
import { attentionSlots, EPSILON } from './temporal.ts';

const WHITENING_FILE = 'activation_whitening.safetensors';

/** SAELens's name -> ours, and whether it reads one place and writes another. */
const KINDS: Readonly<Record<string, { architecture: Architecture; transcoder?: true; skip?: true }>> = {
  standard: { architecture: 'relu' },
  gated: { architecture: 'gated' },
  jumprelu: { architecture: 'jumprelu' },
  topk: { architecture: 'topk' },
  abstopk: { architecture: 'topk' },
  batchtopk: { architecture: 'batchtopk' },
  matryoshka_batchtopk: { architecture: 'matryoshka' },
  matching_pursuit: { architecture: 'matching-pursuit' },
  temporal: { architecture: 'temporal' },
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
    'jumprelu_ste_to_input',
    'target_l0',
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

async function read(files: SaeFiles): Promise<Plan> {
  const { folder } = files;
  const where = `${folder.name}/${CFG_FILE}`;
  const { [REGISTERED_SCALE]: registered, ...overrides } = files.overrides;
  const found = (await files.json(CFG_FILE))!;
  settings(found, where).object('metadata');
  const raw = overridden(found, overrides);
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
  const inContext = kind.architecture === 'temporal';
  const tied = kind.architecture === 'matching-pursuit' || (inContext && cfg.flag('tied_weights', true));
  const slots: Record<string, Slot | Float32Array> = {
    W_enc: tied ? { tensor: tensors.take('W_dec') } : { tensor: tensors.take('W_enc'), transposed: true },
    W_dec: { tensor: tensors.take('W_dec') },
    // SAELens adds it to the output of a matching pursuit only where it is subtracted from the input.
    b_dec:
      tied && json.apply_b_dec_to_input === false
        ? new Float32Array(tensors.take('b_dec').shape[0]!)
        : { tensor: tensors.take('b_dec') },
    b_enc:
      tied || inContext
        ? new Float32Array(F)
        : { tensor: kind.architecture === 'gated' ? tensors.take('b_gate') : tensors.take('b_enc') },
  };
  if (kind.architecture === 'gated')
    for (const array of ['b_mag', 'r_mag']) slots[array] = { tensor: tensors.take(array) };
  if (kind.architecture === 'jumprelu')
    slots.threshold =
      tensors.has('log_threshold') && !tensors.has('threshold')
        ? { tensor: tensors.take('log_threshold'), change: Math.exp }
        : { tensor: tensors.take('threshold') };
  if (kind.skip) slots.W_skip = { tensor: tensors.take('W_skip') };
  if (tensors.has('b_token')) slots.b_token = { tensor: tensors.take('b_token') };

  const shared = {
    D,
    F,
    ...(kind.transcoder ? { Dout: cfg.count('d_out') } : {}),
    ...(!kind.transcoder && !cfg.flag('apply_b_dec_to_input', true) ? { subtractDecoderBias: false } : {}),
    metadata,
  };
  if (kind.transcoder) cfg.ignore('apply_b_dec_to_input');
  const folds: ((arrays: Arrays) => void)[] = [];
  let scale = 1;
  const norm = cfg.oneOf(
    'normalize_activations',
    [
      ...['none', 'expected_average_only_in', 'constant_norm_rescale', 'constant_scalar_rescale'],
      ...['layer_norm', 'covariance_whitening'],
    ],
    'none',
  );
  if (norm === 'covariance_whitening' && (tied || inContext))
    throw new Error(
      `${where}: normalize_activations is "covariance_whitening", which SAELens has not for ${name}: its encoder is its decoder, or reads rows in their order.`,
    );
  const whitening = norm === 'covariance_whitening' ? await whiteningOf(files, D, where) : undefined;
  if (norm === 'constant_scalar_rescale' && inContext) {
    scale = cfg.number('activation_normalization_factor');
    folds.push((arrays) => foldScales(arrays, scale));
    notes.push(`The input scale ${scale} of cfg.json is folded into the weights.`);
  } else if (norm === 'constant_scalar_rescale')
    throw new Error(
      `${where}: normalize_activations is "constant_scalar_rescale", whose scalar is not in the file`,
    );
  if (norm === 'expected_average_only_in') {
    const scaler = await files.json('activation_scaler.json');
    const factor = scaler?.scaling_factor ?? registered;
    if (factor !== undefined) {
      if (!(typeof factor === 'number' && factor > 0))
        throw new Error(
          `${folder.name}/activation_scaler.json: scaling_factor is ${JSON.stringify(factor)}, expected a number above 0, or null where it is folded into the weights`,
        );
      scale = factor;
      // sx has the code s z: latents stay as long as they are.
      folds.push((arrays) =>
        kind.architecture === 'matching-pursuit' ? scaleBias(arrays, factor) : foldScales(arrays, factor),
      );
      notes.push(
        `The input scale ${factor} of ${scaler ? 'activation_scaler.json' : "SAELens's registry"} is folded into the weights.`,
      );
    } else
      notes.push(
        'The input scale (expected_average_only_in) is taken as folded into the weights, as SAELens does. For some releases its registry has the scale, which is folded for SAEs that are named as saelens:RELEASE/SAE_ID.',
      );
  }
  const rows = rowsRead(
    metadata,
    { norm: NORMS[norm], transcoder: kind.transcoder === true, old: json !== raw },
    where,
  );
  const inputNorm = rows.inputNorm;
  notes.push(...rows.notes);
  const reshape = cfg.oneOf('reshape_activations', ['none', 'hook_z'], 'none');

  const byDecoder = cfg.flag('rescale_acts_by_decoder_norm', false);
  if (byDecoder) {
    folds.push((arrays) => foldDecoderNorms(arrays, F));
    notes.push('Decoder norms are folded into the encoder: latents are in units of what they write.');
  }
  // Behind the norms, which are those of the decoder of whitened rows.
  if (whitening) {
    folds.push((arrays) => foldWhitening(arrays, whitening, subtractsBias(shared)));
    notes.push(`The whitening of ${WHITENING_FILE} is folded into the weights.`);
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
        const K = cfg.number('k');
        const trained = await scalar(tensors.take('topk_threshold'), file.name);
        // Trained in float64, and float32 in the end, as every threshold.
        const threshold = Math.fround(byDecoder ? trained / scale : trained);
        const widths = json.matryoshka_widths as number[] | undefined;
        if (kind!.architecture === 'batchtopk' || !widths)
          return { ...shared, architecture: 'batchtopk', K, threshold };
        const prefixes = widths.at(-1) === F ? widths : [...widths, F];
        return { ...shared, architecture: 'matryoshka', K, threshold, prefixes };
      }
      case 'jumprelu':
        return (await savedHere(saekit as Saekit | undefined)) ?? { ...shared, architecture: 'jumprelu' };
      case 'matching-pursuit': {
        const steps = cfg.has('max_iterations') ? cfg.count('max_iterations') : D;
        cfg.ignore('max_iterations');
        return {
          ...shared,
          architecture: 'matching-pursuit',
          residualThreshold: cfg.number('residual_threshold') / scale,
          steps,
          ...(cfg.flag('stop_on_duplicate_support', true) ? {} : { revisits: true }),
        };
      }
      case 'temporal': {
        const layers = cfg.number('n_attn_layers');
        Object.assign(slots, attentionSlots(tensors.take, layers));
        const ranked =
          cfg.oneOf('sae_diff_type', ['topk', 'relu'], 'topk') === 'topk' && cfg.has('kval_topk');
        const K = ranked ? cfg.count('kval_topk') : F;
        cfg.ignore('kval_topk', 'activation_normalization_factor');
        const { epsilon = EPSILON / scale } = (saekit ?? {}) as { epsilon?: number };
        return {
          ...{ ...shared, architecture: 'temporal', K, heads: cfg.count('n_heads'), layers, epsilon },
          attentionWidth: F / cfg.count('bottleneck_factor'),
        };
      }
      default:
        cfg.ignore('k');
        return { ...shared, architecture: kind!.architecture as 'relu' };
    }
  }
}

/** @throws without the file, and for tensors of other shapes */
async function whiteningOf(files: SaeFiles, D: number, where: string): Promise<Whitening> {
  if (!(await files.folder.has(WHITENING_FILE)))
    throw new Error(
      `${where}: normalize_activations is "covariance_whitening" and there is no ${WHITENING_FILE} beside it, which checkpoints of SAELens's trainer have; a finished SAE has it folded and says "none".`,
    );
  const tensors = tensorsOf(await files.tensors(WHITENING_FILE));
  const read = async (name: string, shape: readonly number[]): Promise<Float32Array> => {
    const tensor = tensors.take(name);
    if (tensor.shape.join() !== shape.join())
      throw new Error(
        `${files.folder.name}/${WHITENING_FILE}: ${name} is [${tensor.shape.join(', ')}], expected [${shape.join(', ')}] from d_in ${D}`,
      );
    const values = await readElements(tensor, 0, countOf(shape));
    if (!values.every(Number.isFinite))
      throw new Error(`${files.folder.name}/${WHITENING_FILE}: ${name} is not finite`);
    return values;
  };
  return {
    mean: await read('mean', [D]),
    M: await read('matrix', [D, D]),
    U: await read('inverse_matrix', [D, D]),
  };
}

/** x scaled by s in training: xhat / s + b_dec / s, where the code is of x. */
function scaleBias({ b_dec }: Arrays, s: number): void {
  for (let d = 0; d < b_dec.length; d++) b_dec[d]! /= s;
}

export const saelens: Format = {
  title: 'SAELens',
  folders: [[CFG_FILE, WEIGHTS_FILE]],
  matches: (files) => hasPair(files, CFG_FILE, WEIGHTS_FILE),
  read,
  write,
};
