/**
 * dictionary_learning (Marks, Karvonen, Mueller): config.json + ae.pt, a state dict of one of these classes.
 *
 *     AutoEncoder              bias, encoder.weight [F,D], encoder.bias, decoder.weight [D,F]       z = ReLU(W (x - bias) + b)
 *     AutoEncoderNew           encoder.*, decoder.weight [D,F], decoder.bias                        z = ReLU(W x + b)
 *     GatedAutoEncoder         decoder_bias, encoder.weight, r_mag, gate_bias, mag_bias, decoder.weight
 *     JumpReluAutoEncoder      W_enc [D,F], b_enc, W_dec [F,D], b_dec, threshold                    x itself
 *     AutoEncoderTopK          k, (threshold), encoder.*, decoder.weight, b_dec                     TopK(ReLU(W (x - b_dec) + b))
 *     BatchTopKSAE             k, threshold, encoder.*, decoder.weight, b_dec                       by threshold, which -1 says was never set
 *     MatryoshkaBatchTopKSAE   k, threshold, group_sizes, W_enc [D,F], b_enc, W_dec [F,D], b_dec    by threshold
 *
 * A JumpReLU SAE of x - b_dec is written with b_enc - W_enc b_dec as b_enc.
 * The factor that activations were divided by in training (norm_factor) is in the saved biases already. Audio-SAE is this class BatchTopKSAE.
 * AutoEncoder is loaded there with decoder rows scaled to 1 (`normalize_decoder`), which leaves the output as it is but not the latents:
 * here weights are as they are in the file.
 */
import { countOf, readNumbers } from '../../formats/index.ts';
import type { FolderWriter } from '../../store/types.ts';
import { describeSae } from '../check.ts';
import type { Sae, SaeConfig } from '../types.ts';
import { readingX } from './fold.ts';
import {
  type ArrayName,
  type Format,
  hasExactly,
  matrixShape,
  type Plan,
  refuseSquare,
  refuseValues,
  type SaeFiles,
  type Slot,
  scalar,
  tensorsOf,
} from './format.ts';
import { type SavedTensor, writeTorch } from './torch-writer.ts';
import { checkFinite, jsonBytes, transpose } from './write.ts';

const FILE = 'ae.pt';
const CONFIG = 'config.json';

type Found = ReturnType<typeof tensorsOf>;

/** The class by the keys of its state dict, which no two share. */
function classOf(tensors: Found, values: ReadonlyMap<string, unknown>): string {
  const has = (...names: string[]) => names.every((name) => tensors.has(name));
  if (has('gate_bias', 'r_mag')) return 'GatedAutoEncoder';
  if (has('group_sizes')) return 'MatryoshkaBatchTopKSAE';
  if (has('W_enc', 'W_dec') && tensors.has('k')) return 'MatryoshkaBatchTopKSAE';
  if (has('W_enc', 'W_dec', 'threshold')) return 'JumpReluAutoEncoder';
  if (has('bias', 'encoder.weight')) return 'AutoEncoder';
  if (has('encoder.weight', 'b_dec') && (tensors.has('k') || values.has('k'))) return 'topk';
  if (has('encoder.weight', 'decoder.bias')) return 'AutoEncoderNew';
  return 'unknown';
}

/** How submodules and folders are called -> our hook. Inputs and inner activations of a module have other names, and none here. */
const PLACES: readonly (readonly [name: RegExp, hook: string])[] = [
  [/^resid(?:ual)?_(?:post|out)/, 'hook_resid_post'],
  [/^resid(?:ual)?_pre/, 'hook_resid_pre'],
  [/^resid(?:ual)?_mid/, 'hook_resid_mid'],
  [/^att(?:n|ention)_out/, 'hook_attn_out'],
  [/^mlp_out/, 'hook_mlp_out'],
];

/**
 * Where the SAE reads: what `submodule_name` and `layer` of the trainer say, and where those are silent a folder of the path that names both,
 * such as resid_post_layer_8. What only one of them says in part, or two say otherwise, is no hook.
 */
function metadataOf(
  trainer: Readonly<Record<string, unknown>>,
  path: string,
): { metadata: Record<string, unknown>; notes: string[] } {
  const folders = path
    .split(/[\\/]/)
    .filter((name) => /^[a-z]+_[a-z]+_layer_?\d+(?:_checkpoints)?$/.test(name));
  const said = typeof trainer.submodule_name === 'string' ? trainer.submodule_name : '';
  const name = said === '' ? (folders.at(-1) ?? '') : said;
  const place = PLACES.find(([pattern]) => pattern.test(name))?.[1];
  const named = /layer_?(\d+)/.exec(name)?.[1];
  const layer = trainer.layer ?? named;
  const known = layer !== undefined && layer !== null && Number.isInteger(Number(layer));
  const agrees = named === undefined || Number(named) === Number(layer);
  const hook = place !== undefined && known && agrees;
  return {
    metadata: {
      ...(typeof trainer.lm_name === 'string' && trainer.lm_name !== ''
        ? { model_name: trainer.lm_name }
        : {}),
      ...(hook ? { hook_name: `blocks.${Number(layer)}.${place}` } : {}),
    },
    notes: hook
      ? []
      : [
          `Which hook it reads is not said (layer ${known ? Number(layer) : 'unknown'}${name === '' ? '' : `, ${name}`}): name it.`,
        ],
  };
}

async function read(files: SaeFiles): Promise<Plan> {
  const { folder, path } = files;
  const name = files.file ?? FILE;
  const where = `${folder.name}/${name}`;
  const file = await files.tensors(name);
  const tensors = tensorsOf(file);
  const json = await files.json(CONFIG);
  const trainer = (json?.trainer ?? json ?? {}) as Record<string, unknown>;
  const found = classOf(tensors, file.values);
  const said = trainer.dict_class;
  const kind = found === 'topk' ? topKClass() : found;
  if (typeof said === 'string' && said !== kind)
    throw new Error(
      `${where}: ${CONFIG} says ${said}, but the tensors are those of ${kind}: ${tensors.names.join(', ')}.`,
    );
  const slot = (tensor: string, transposed = false): Slot => ({ tensor: tensors.take(tensor), transposed });
  const linear = (): Record<string, Slot> => ({
    W_enc: slot('encoder.weight'),
    W_dec: slot('decoder.weight', true),
  });
  const own = (trainer.saekit ?? {}) as { metadata?: Record<string, unknown>; flattened?: boolean };
  const place = metadataOf(trainer, path);
  const metadata = { ...place.metadata, ...own.metadata };
  const notes = own.metadata === undefined ? place.notes : [];

  const number = async (key: string): Promise<number> => {
    const value = file.values.get(key);
    return typeof value === 'number' ? value : await scalar(tensors.take(key), where);
  };
  let arrays: Plan['arrays'];
  let special: Pick<SaeConfig, 'architecture'> & Record<string, unknown>;
  switch (kind) {
    case 'AutoEncoder':
      arrays = { ...linear(), b_enc: slot('encoder.bias'), b_dec: slot('bias') };
      special = { architecture: 'relu' };
      break;
    case 'AutoEncoderNew':
      arrays = { ...linear(), b_enc: slot('encoder.bias'), b_dec: slot('decoder.bias') };
      special = { architecture: 'relu', subtractDecoderBias: false };
      break;
    case 'GatedAutoEncoder':
      arrays = {
        ...linear(),
        b_enc: slot('gate_bias'),
        b_dec: slot('decoder_bias'),
        r_mag: slot('r_mag'),
        b_mag: slot('mag_bias'),
      };
      special = { architecture: 'gated' };
      break;
    case 'JumpReluAutoEncoder':
      arrays = rowForm();
      (arrays as Record<string, Slot>).threshold = slot('threshold');
      special = { architecture: 'jumprelu', subtractDecoderBias: false };
      break;
    case 'AutoEncoderTopK':
      arrays = { ...linear(), b_enc: slot('encoder.bias'), b_dec: slot('b_dec') };
      special = { architecture: 'topk', K: await number('k') };
      tensors.ignore('threshold');
      break;
    case 'BatchTopKSAE':
      arrays = { ...linear(), b_enc: slot('encoder.bias'), b_dec: slot('b_dec') };
      special = { architecture: 'batchtopk', K: await number('k'), threshold: await number('threshold') };
      break;
    case 'MatryoshkaBatchTopKSAE': {
      arrays = rowForm();
      const sizes = await readNumbers(tensors.take('group_sizes'));
      let sum = 0;
      special = {
        ...{ architecture: 'matryoshka', K: await number('k'), threshold: await number('threshold') },
        prefixes: sizes.map((size) => (sum += size)),
      };
      break;
    }
    default:
      throw new Error(
        `${where}: no class of dictionary_learning has the tensors ${tensors.names.join(', ') || 'none'}. Known are AutoEncoder, AutoEncoderNew, GatedAutoEncoder, JumpReluAutoEncoder, AutoEncoderTopK, BatchTopKSAE and MatryoshkaBatchTopKSAE.${hasExactly(file, 'W_enc', 'b_enc', 'W_dec', 'b_dec') ? ' Attention SAEs have these four, and their NAME_cfg.json beside NAME.pt, which is missing.' : ''}`,
      );
  }
  tensors.finish();
  refuseValues(file, where, /^(?:k|threshold)$/);
  if ('threshold' in special && (special.threshold as number) < 0)
    throw new Error(
      `${where}: the threshold is ${special.threshold as number}: training never set it, so which latents are active cannot be told. Train on, or take an SAE of another step.`,
    );
  const F = countOf((arrays.b_enc as Slot).tensor.shape);
  const D = countOf((arrays.b_dec as Slot).tensor.shape);
  const byShape = kind === 'JumpReluAutoEncoder' || kind === 'MatryoshkaBatchTopKSAE';
  if (byShape && typeof said !== 'string') refuseSquare(D, F, '[D,F]', where);
  const config = {
    ...special,
    ...{ D, F },
    ...(own.flattened === true ? { flattened: true } : {}),
    metadata,
  } as SaeConfig;
  if (typeof trainer.norm_factor === 'number')
    notes.push(
      `Activations were divided by ${trainer.norm_factor} in training; the saved biases have the factor in them.`,
    );
  return { config, arrays, notes };

  function rowForm(): Partial<Record<ArrayName, Slot>> {
    matrixShape(tensors.take('W_enc'), where);
    return { W_enc: slot('W_enc', true), b_enc: slot('b_enc'), W_dec: slot('W_dec'), b_dec: slot('b_dec') };
  }
  /** BatchTopK and TopK have the same tensors: only the config tells them apart. */
  function topKClass(): string {
    if (said === 'AutoEncoderTopK' || said === 'BatchTopKSAE') return said;
    if (!tensors.has('threshold') && !file.values.has('threshold')) return 'AutoEncoderTopK';
    throw new Error(
      `${where}: these are the tensors of AutoEncoderTopK and of BatchTopKSAE, and there is no ${CONFIG} beside the file that says which (dict_class). They compute different things, so it is not guessed.`,
    );
  }
}

/** Its classes want a whole k. Of BatchTopK it is the mean in training, 32.5 or 32.7 say; what is active goes by the threshold. */
const wholeK = (K: number): number => Math.max(1, Math.round(K));

/** The state dict of an SAE, and its class. @throws when no class computes the same */
function stateOf(sae: Sae): {
  dict_class: string;
  state: Record<string, SavedTensor>;
} {
  const { config, W_enc, b_enc, W_dec, b_dec } = sae;
  const { D, F } = config;
  const x = config.subtractDecoderBias === false ? 'x' : 'x - b_dec';
  const none = (why = ''): never => {
    throw new Error(
      `dictionary_learning has no class for ${describeSae(config)}${why === '' ? '' : ` ${why}`}.`,
    );
  };
  if (config.Dout !== undefined || config.inputNorm || sae.b_token || sae.W_skip)
    none('as a transcoder, with normalised input or token bias');
  const linear = {
    'encoder.weight': { shape: [F, D], data: W_enc },
    'decoder.weight': { shape: [D, F], data: transpose(W_dec, F, D) },
  };
  const rows = {
    W_enc: { shape: [D, F], data: transpose(W_enc, F, D) },
    b_enc: { shape: [F], data: b_enc },
    W_dec: { shape: [F, D], data: W_dec },
    b_dec: { shape: [D], data: b_dec },
  };
  const bias = { 'encoder.bias': { shape: [F], data: b_enc } };
  switch (config.architecture) {
    case 'relu':
      return x === 'x'
        ? {
            dict_class: 'AutoEncoderNew',
            state: { ...linear, ...bias, 'decoder.bias': { shape: [D], data: b_dec } },
          }
        : { dict_class: 'AutoEncoder', state: { bias: { shape: [D], data: b_dec }, ...linear, ...bias } };
    case 'jumprelu':
      return {
        dict_class: 'JumpReluAutoEncoder',
        state: {
          ...rows,
          b_enc: { shape: [F], data: readingX(sae).b_enc },
          threshold: { shape: [F], data: sae.threshold! },
        },
      };
    case 'groupmax':
    case 'matching-pursuit':
    case 'temporal':
      return none();
  }
  if (x === 'x') none('that reads x itself');
  if (config.architecture === 'gated')
    return {
      dict_class: 'GatedAutoEncoder',
      state: {
        decoder_bias: { shape: [D], data: b_dec },
        r_mag: { shape: [F], data: sae.r_mag! },
        gate_bias: { shape: [F], data: b_enc },
        mag_bias: { shape: [F], data: sae.b_mag! },
        ...linear,
      },
    };
  if (config.architecture === 'topk' && config.signed) none('with signed codes');
  const threshold = {
    shape: [],
    data: Float32Array.of(config.architecture === 'topk' ? -1 : config.threshold),
  };
  const k = { shape: [], data: BigInt64Array.of(BigInt(wholeK(config.K))) };
  if (config.architecture === 'matryoshka') {
    const sizes = config.prefixes.map((m, i) => BigInt(m - (config.prefixes[i - 1] ?? 0)));
    return {
      dict_class: 'MatryoshkaBatchTopKSAE',
      state: {
        ...rows,
        ...{ k, threshold, group_sizes: { shape: [sizes.length], data: BigInt64Array.from(sizes) } },
      },
    };
  }
  return {
    dict_class: config.architecture === 'topk' ? 'AutoEncoderTopK' : 'BatchTopKSAE',
    state: { b_dec: { shape: [D], data: b_dec }, k, threshold, ...linear, ...bias },
  };
}

async function write(sae: Sae, folder: FolderWriter): Promise<void> {
  const { dict_class, state } = stateOf(sae);
  for (const [name, { data }] of Object.entries(state))
    if (data instanceof Float32Array) checkFinite(name, data);
  await writeTorch(folder, FILE, state);
  const { D, F, metadata, flattened } = sae.config;
  const layer = /^blocks\.(\d+)\./.exec(String(metadata.hook_name ?? ''))?.[1];
  const config = jsonBytes({
    trainer: {
      dict_class,
      activation_dim: D,
      dict_size: F,
      ...('K' in sae.config ? { k: wholeK(sae.config.K) } : {}),
      ...(typeof metadata.model_name === 'string' ? { lm_name: metadata.model_name } : {}),
      ...(layer === undefined ? {} : { layer: Number(layer) }),
      saekit: { metadata, ...(flattened ? { flattened } : {}) },
    },
  });
  await folder.write(CONFIG, [config], config.length);
}

export const dictionaryLearning: Format = {
  title: 'dictionary_learning',
  folders: [[FILE]],
  async matches(files) {
    const { folder, file } = files;
    if (file === undefined) return await folder.has(FILE);
    if (!/\.(pt|pth|bin)$/.test(file)) return false;
    const { tensors } = await files.tensors(file);
    return !tensors.has('latent_bias');
  },
  read,
  write,
};
