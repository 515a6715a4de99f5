/**
 * sparsify (EleutherAI): cfg.json + sae.safetensors.
 *
 *     encoder.weight [F,D]   encoder.bias [F]   W_dec [F,D]   b_dec [D]   W_skip [D,D]
 *     z = TopK(ReLU((x - b_dec) W_enc^T + b_enc)), of a transcoder (`transcode`) of x itself; xhat = z W_dec + b_dec (+ W_skip x)
 *
 * `activation: groupmax` keeps the largest of each of k groups. `flattened` (heads of hook_z side by side) is a key of ours, which sparsify passes over. `signed` of early files keeps the K largest magnitudes. W_dec lies latent-major, other than readers of this format elsewhere take it.
 */
import { writeSafetensors } from '../../formats/index.ts';
import type { FolderWriter } from '../../store/types.ts';
import { describeSae } from '../check.ts';
import type { Sae, SaeConfig } from '../types.ts';
import { type Format, hasPair, type Plan, type SaeFiles, settings, tensorsOf } from './format.ts';
import { checkFinite, jsonBytes } from './write.ts';

const CFG_FILE = 'cfg.json';
const WEIGHTS_FILE = 'sae.safetensors';

/**
 * The hooks of the module that the folder is named after, whose output it was trained on; of a transcoder its input and output. layers.10 is
 * a block, layers.10.mlp its MLP; other modules have no hook here that is surely theirs.
 */
function hooksOf(folder: string, transcode: boolean): { metadata: Record<string, unknown>; notes: string[] } {
  const [, module] = /(?:^|\/)([^/]+)\/?$/.exec(folder) ?? [];
  const [, layer, rest = ''] =
    /^(?:.*\.)?(?:layers|h|blocks)\.(\d+)((?:\.[\w.]+)?)$/.exec(module ?? '') ?? [];
  if (layer === undefined) return { metadata: {}, notes: [] };
  const places: Record<string, readonly [input: string, output: string]> = {
    '': ['hook_resid_pre', 'hook_resid_post'],
    '.mlp': ['mlp.hook_in', 'hook_mlp_out'],
  };
  const place = places[rest];
  if (!place)
    return {
      metadata: { hookpoint: module },
      notes: [`No hook here is known to be ${module}: name the one that it reads.`],
    };
  const [input, output] = place.map((name) => `blocks.${layer}.${name}`);
  return {
    metadata: {
      ...(transcode ? { hook_name: input, hook_name_out: output } : { hook_name: output }),
      hookpoint: module,
    },
    notes:
      rest === '.mlp'
        ? [
            `${output} is what ${module} writes, but for models with one more norm behind the MLP (Gemma 2 and 3), which have no hook before it.`,
          ]
        : [],
  };
}

async function read({ path, json, tensors: open, folder }: SaeFiles): Promise<Plan> {
  const where = `${folder.name}/${CFG_FILE}`;
  const cfg = settings((await json(CFG_FILE))!, where);
  const D = cfg.count('d_in');
  const F =
    cfg.has('num_latents') && cfg.any('num_latents') !== 0
      ? cfg.count('num_latents')
      : D * cfg.count('expansion_factor');
  const K = cfg.count('k');
  const activation = cfg.oneOf('activation', ['topk', 'groupmax'], 'topk');
  const [transcode, skip, signed] = [
    cfg.flag('transcode', false),
    cfg.flag('skip_connection', false),
    cfg.flag('signed', false),
  ];
  cfg.ignore('normalize_decoder', 'multi_topk', 'expansion_factor', 'num_latents');
  const given = cfg.object('metadata');
  const flattened = cfg.flag('flattened', false);
  cfg.finish();
  const tensors = tensorsOf(await open(WEIGHTS_FILE));
  const arrays: Plan['arrays'] = {
    W_enc: { tensor: tensors.take('encoder.weight') },
    b_enc: { tensor: tensors.take('encoder.bias') },
    W_dec: { tensor: tensors.take('W_dec') },
    b_dec: { tensor: tensors.take('b_dec') },
    ...(skip ? { W_skip: { tensor: tensors.take('W_skip') } } : {}),
  };
  tensors.finish();
  const place = hooksOf(path, transcode);
  const config: SaeConfig = {
    ...{ D, F, K },
    ...(activation === 'groupmax'
      ? { architecture: 'groupmax' }
      : { architecture: 'topk', ...(signed ? { signed } : {}) }),
    ...(transcode ? { Dout: D } : {}),
    ...(flattened ? { flattened } : {}),
    metadata: { ...place.metadata, ...given },
  };
  return { config, arrays, notes: cfg.has('metadata') ? [] : place.notes };
}

async function write(sae: Sae, folder: FolderWriter): Promise<void> {
  const { config, W_enc, b_enc, W_dec, b_dec, W_skip } = sae;
  const { D, F, Dout } = config;
  const signed = config.architecture === 'topk' && config.signed === true;
  if (
    (config.architecture !== 'topk' && config.architecture !== 'groupmax') ||
    config.inputNorm ||
    sae.b_token ||
    (Dout !== undefined && Dout !== D) ||
    (Dout === undefined && config.subtractDecoderBias === false)
  )
    throw new Error(
      `sparsify has no place for ${describeSae(config)}${config.inputNorm ? ' with normalised input' : ''}${sae.b_token ? ' with token bias' : ''}${config.subtractDecoderBias === false ? ' that reads x itself' : ''}: it has TopK and GroupMax SAEs of x - b_dec and transcoders of one width.`,
    );
  for (const [name, data] of Object.entries({ W_enc, b_enc, W_dec, b_dec })) checkFinite(name, data);
  const chunks = writeSafetensors({
    'encoder.weight': { dtype: 'F32', shape: [F, D], data: W_enc },
    'encoder.bias': { dtype: 'F32', shape: [F], data: b_enc },
    W_dec: { dtype: 'F32', shape: [F, D], data: W_dec },
    b_dec: { dtype: 'F32', shape: [D], data: b_dec },
    ...(W_skip ? { W_skip: { dtype: 'F32' as const, shape: [D, D], data: W_skip } } : {}),
  });
  await folder.write(
    WEIGHTS_FILE,
    chunks,
    chunks.reduce((sum, { length }) => sum + length, 0),
  );
  const cfg = jsonBytes({
    activation: config.architecture,
    expansion_factor: Math.max(1, Math.round(F / D)),
    normalize_decoder: false,
    num_latents: F,
    k: config.K,
    multi_topk: false,
    skip_connection: W_skip !== undefined,
    transcode: Dout !== undefined,
    ...(signed ? { signed: true } : {}),
    d_in: D,
    ...(config.flattened ? { flattened: true } : {}),
    metadata: config.metadata,
  });
  await folder.write(CFG_FILE, [cfg], cfg.length);
}

export const sparsify: Format = {
  title: 'sparsify',
  folders: [[CFG_FILE, WEIGHTS_FILE]],
  matches: (files) => hasPair(files, CFG_FILE, WEIGHTS_FILE),
  read,
  write,
};
