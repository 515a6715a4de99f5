/**
 * Gemma Scope (params.npz) and Gemma Scope 2 (params.safetensors): JumpReLU of x itself, all scales folded.
 *
 *     W_enc, w_enc [D,F]   b_enc [F]   W_dec, w_dec [F,Dout]   b_dec [Dout]   threshold [F]   affine_skip_connection [D,Dout]
 *     z = pre where pre > threshold, pre = x W_enc + b_enc;  xhat = z W_dec + b_dec (+ x affine_skip_connection)
 *     of an SAE of x - b_dec:  b_enc - W_enc b_dec is written as b_enc
 *
 * Where they read is in config.json of Gemma Scope 2, else only in the path, as released:
 *
 *     gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71     gemma-scope-2-1b-pt/resid_post/layer_9_width_16k_l0_small
 *
 * Transcoders give what the MLP adds to the stream. They read its input: those of Gemma Scope 1 before the norm's gain, which was folded into
 * the MLP in training (README of gemma-scope-2b-pt-transcoders), those of 2 behind it (`pre_feedforward_layernorm.output`).
 */
import type { FolderWriter } from '../../store/types.ts';
import { describeSae } from '../check.ts';
import type { Sae, SaeConfig } from '../types.ts';
import { readingX } from './fold.ts';
import {
  type Format,
  matrixShape,
  type Plan,
  refuseSquare,
  type SaeFiles,
  settings,
  tensorsOf,
} from './format.ts';
import { LAYER_FILE, readLayer } from './gemma-scope-layers.ts';
import { writeNpz } from './npz.ts';
import { checkFinite, jsonBytes, transpose } from './write.ts';

const NPZ = 'params.npz';
const SAFETENSORS = 'params.safetensors';
/** Beside an npz that we wrote: what the format has no field for. */
const BESIDE = 'saekit.json';
/** Beside the safetensors of Gemma Scope 2. */
const CONFIG = 'config.json';

/** Where an SAE belongs, as far as its files or their path say. */
type Found = {
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly transcoder: boolean;
  /** Trained on embeddings before Gemma multiplies them by the root of the width. */
  readonly embedding?: boolean;
};

/** Of a hub name and of a snapshot in the cache. */
const FIRST =
  /(?:^|\/)(?:[^/]*gemma-scope-[^/]*-(res|att|mlp|transcoders)(?:\/snapshots\/[^/]+)?\/)?(?:layer_(\d+)|(embedding))\/width_[^/]+\/average_l0_(\d+)\/?$/;
const SECOND =
  /(?:^|\/)(resid_post|attn_out|mlp_out|transcoder)(?:_all)?\/layer_(\d+)_width_[^/]+_l0_[^/]+\/?$/;

const PLACES: Readonly<Record<string, readonly [reads: string, writes?: string]>> = {
  res: ['hook_resid_post'],
  att: ['attn.hook_z'],
  mlp: ['hook_mlp_out'],
  transcoders: ['ln2.hook_normalized', 'hook_mlp_out'],
  resid_post: ['hook_resid_post'],
  attn_out: ['attn.hook_z'],
  mlp_out: ['hook_mlp_out'],
  transcoder: ['mlp.hook_in', 'hook_mlp_out'],
};

function placed(kind: string | undefined, layer: string | number | undefined): Found {
  const [reads, writes] = kind === undefined || layer === undefined ? [] : PLACES[kind]!;
  return {
    transcoder: kind === 'transcoders' || kind === 'transcoder',
    metadata: {
      ...(reads ? { hook_name: `blocks.${layer}.${reads}` } : {}),
      ...(writes ? { hook_name_out: `blocks.${layer}.${writes}` } : {}),
    },
  };
}

/** What a path of the released layout says; any other path says nothing. */
function fromPath(path: string): Found {
  const [, site, layer] = SECOND.exec(path) ?? [];
  if (site !== undefined) return placed(site, layer);
  const [, kind, first, embedding, l0] = FIRST.exec(path) ?? [];
  const { transcoder, metadata } = embedding ? { transcoder: false, metadata: {} } : placed(kind, first);
  return {
    transcoder,
    metadata: {
      ...(embedding ? { hook_name: 'hook_embed' } : metadata),
      ...(l0 === undefined ? {} : { l0: Number(l0) }),
    },
    ...(embedding ? { embedding: true } : {}),
  };
}

/** Modules of transformers -> where they are here. */
const MODULES: Readonly<Record<string, keyof typeof PLACES>> = {
  output: 'resid_post',
  'self_attn.o_proj.input': 'attn_out',
  'post_feedforward_layernorm.output': 'mlp_out',
  'pre_feedforward_layernorm.output': 'transcoder',
};

/** config.json of Gemma Scope 2. @throws for a setting or a place that is not known, and where it contradicts the tensors */
function fromConfig(
  json: Readonly<Record<string, unknown>>,
  { F, skip }: { readonly F: number; readonly skip: boolean },
  where: string,
): Found {
  const cfg = settings(json, where);
  cfg.oneOf('architecture', ['jump_relu']);
  const module = (key: string): string => {
    const name = cfg.text(key);
    const [, layer, rest = ''] = /^(?:model\.|language_model\.)*layers\.(\d+)\.([\w.]+)$/.exec(name) ?? [];
    const kind = Object.hasOwn(MODULES, rest) ? MODULES[rest] : undefined;
    if (layer === undefined || kind === undefined)
      throw new Error(
        `${where}: ${key} is ${JSON.stringify(name)}, expected model.layers.L. with ${Object.keys(MODULES).join(' or ')}.`,
      );
    return `blocks.${layer}.${PLACES[kind]![0]}`;
  };
  const reads = module('hf_hook_point_in');
  const writes =
    cfg.has('hf_hook_point_out') && cfg.any('hf_hook_point_out') !== '' ? module('hf_hook_point_out') : reads;
  cfg.ignore('hf_hook_point_out');
  const transcoder = writes !== reads;
  const type = cfg.has('type') ? cfg.oneOf('type', ['sae', 'transcoder']) : undefined;
  if (type !== undefined && (type === 'transcoder') !== transcoder)
    throw new Error(`${where}: type is ${JSON.stringify(type)}, but it reads ${reads} and gives ${writes}.`);
  if (cfg.flag('affine_connection', false) !== skip)
    throw new Error(
      `${where}: affine_connection is ${!skip}, and the file has ${skip ? 'an' : 'no'} affine_skip_connection.`,
    );
  if (cfg.flag('apply_b_dec_to_input', false))
    throw new Error(`${where}: apply_b_dec_to_input is true, expected false: these SAEs read x itself.`);
  const width = cfg.has('width') ? cfg.count('width') : F;
  if (width !== F) throw new Error(`${where}: width is ${width}, and the file has ${F} latents.`);
  const l0 = cfg.has('l0') ? cfg.number('l0') : undefined;
  const model = cfg.has('model_name') ? modelName(cfg.text('model_name')) : undefined;
  cfg.ignore('type', 'affine_connection', 'apply_b_dec_to_input', 'width', 'l0', 'model_name');
  cfg.finish();
  return {
    transcoder,
    metadata: {
      ...(model === undefined ? {} : { model_name: model }),
      hook_name: reads,
      ...(transcoder ? { hook_name_out: writes } : {}),
      ...(l0 === undefined ? {} : { l0 }),
    },
  };
}

/** gemma-v3-270m-pt -> google/gemma-3-270m, the name on the hub. */
function modelName(name: string): string {
  const full = (name.includes('/') ? name : `google/${name}`).replace('gemma-v3', 'gemma-3');
  return full.replace('-270m-pt', '-270m');
}

async function read(files: SaeFiles): Promise<Plan> {
  const { folder, path, file = '' } = files;
  if (LAYER_FILE.test(file)) return await readLayer(files);
  const name = await fileOf(files);
  const where = `${folder.name}/${name}`;
  const tensors = tensorsOf(await files.tensors(name));
  const [W_enc, W_dec] = [tensors.take('W_enc', 'w_enc'), tensors.take('W_dec', 'w_dec')];
  const [b_enc, b_dec, threshold] = [tensors.take('b_enc'), tensors.take('b_dec'), tensors.take('threshold')];
  const skip = tensors.has('affine_skip_connection') ? tensors.take('affine_skip_connection') : undefined;
  tensors.finish();
  if (W_dec.shape.length === 3)
    throw new Error(
      `${where}: w_dec is [${W_dec.shape.join(', ')}]: a layer of a cross-layer transcoder, which one the name of its file says. Expected params_layer_N.safetensors.`,
    );
  const [F, D] = [
    b_enc.shape[0] ?? 0,
    matrixShape(W_enc, where).find((n) => n !== b_enc.shape[0]) ?? b_enc.shape[0]!,
  ];
  refuseSquare(D, F, '[D,F]', where);
  const beside = await files.json(BESIDE);
  const json = name.endsWith('.safetensors') ? await files.json(CONFIG) : undefined;
  const found: Found = beside
    ? {
        transcoder: beside.transcoder === true,
        metadata: (beside.metadata ?? {}) as Record<string, unknown>,
      }
    : json
      ? fromConfig(json, { F, skip: skip !== undefined }, `${folder.name}/${CONFIG}`)
      : fromPath(path.replaceAll('\\', '/'));
  const Dout = b_dec.shape[0]!;
  const transcoder = found.transcoder || skip !== undefined || Dout !== D;
  const embedding = found.embedding === true;
  // hook_z of Gemma Scope has its heads side by side; a file of ours says it.
  const flattened = beside?.flattened ?? String(found.metadata.hook_name ?? '').endsWith('hook_z');
  const config: SaeConfig = {
    architecture: 'jumprelu',
    ...{ D, F },
    ...(transcoder ? { Dout } : { subtractDecoderBias: false }),
    ...(flattened === true ? { flattened } : {}),
    metadata: found.metadata,
  };
  const root = Math.sqrt(D);
  return {
    config,
    arrays: {
      W_enc: { tensor: W_enc, transposed: true, ...(embedding ? { change: (w: number) => w / root } : {}) },
      W_dec: { tensor: W_dec, ...(embedding ? { change: (w: number) => w * root } : {}) },
      b_enc: { tensor: b_enc },
      b_dec: { tensor: b_dec },
      threshold: { tensor: threshold },
      ...(skip ? { W_skip: { tensor: skip, transposed: true } } : {}),
    },
    notes: embedding ? ['The factor of the embedding is folded into the weights.'] : [],
  };
}

/** The named file, or the one of the folder. */
async function fileOf({ folder, file }: SaeFiles): Promise<string> {
  if (file !== undefined) return file;
  return (await folder.has(NPZ)) ? NPZ : SAFETENSORS;
}

async function write(sae: Sae, folder: FolderWriter): Promise<void> {
  const { config, W_enc, b_enc, W_dec, b_dec } = readingX(sae);
  const { D, F, architecture, Dout } = config;
  const theta =
    sae.threshold ??
    (architecture === 'relu'
      ? new Float32Array(F)
      : 'threshold' in config
        ? new Float32Array(F).fill(config.threshold)
        : undefined);
  if (!theta || config.inputNorm || sae.b_token || sae.W_skip)
    throw new Error(
      `Gemma Scope has no place for ${describeSae(config)}${config.inputNorm ? ' with normalised input' : ''}${sae.b_token ? ' with token bias' : ''}${sae.W_skip ? ' with a skip connection' : ''}: it has JumpReLU SAEs that read x itself.`,
    );
  if (D === F)
    throw new Error(
      `Gemma Scope has no place for ${describeSae(config)}: width and latents are the same, and then its shapes do not tell how W_enc lies.`,
    );
  for (const [name, data] of Object.entries({ W_enc, b_enc, W_dec, b_dec, theta })) checkFinite(name, data);
  await writeNpz(folder, NPZ, [
    { name: 'W_dec', shape: [F, Dout ?? D], data: W_dec },
    { name: 'W_enc', shape: [D, F], data: transpose(W_enc, F, D) },
    { name: 'b_dec', shape: [Dout ?? D], data: b_dec },
    { name: 'b_enc', shape: [F], data: b_enc },
    { name: 'threshold', shape: [F], data: theta },
  ]);
  const beside = jsonBytes({
    metadata: config.metadata,
    ...(Dout === undefined ? {} : { transcoder: true }),
    ...(config.flattened ? { flattened: true } : {}),
  });
  await folder.write(BESIDE, [beside], beside.length);
}

export const gemmaScope: Format = {
  title: 'Gemma Scope',
  folders: [[NPZ], [SAFETENSORS]],
  matches: async ({ folder, file }) =>
    file === undefined
      ? (await folder.has(NPZ)) || (await folder.has(SAFETENSORS))
      : file.endsWith('.npz') || file === SAFETENSORS || LAYER_FILE.test(file),
  read,
  write,
};
