/**
 * Gemma Scope (params.npz) and Gemma Scope 2 (params.safetensors): JumpReLU of x itself, all scales folded.
 *
 *     W_enc, w_enc [D,F]   b_enc [F]   W_dec, w_dec [F,Dout]   b_dec [Dout]   threshold [F]   affine_skip_connection [D,Dout]
 *     z = pre where pre > threshold, pre = x W_enc + b_enc;  xhat = z W_dec + b_dec (+ x affine_skip_connection)
 *
 * Where they read stands in the path only: layer_20/width_16k/average_l0_71, resid_post/layer_9_width_16k_l0_small.
 */
import type { FolderWriter } from '../../store/types.ts';
import { describeSae } from '../check.ts';
import type { Sae, SaeConfig } from '../types.ts';
import { type Format, matrixShape, type Plan, refuseSquare, type SaeFiles, tensorsOf } from './format.ts';
import { writeNpz } from './npz.ts';
import { checkFinite, jsonBytes, transpose } from './write.ts';

const NPZ = 'params.npz';
const SAFETENSORS = 'params.safetensors';
/** Beside an npz that we wrote: what the format has no field for. */
const BESIDE = 'saekit.json';

/** What the path says: the hook, the L0 that was measured, and whether it writes elsewhere than it reads. */
export function fromPath(path: string): { metadata: Record<string, unknown>; transcoder: boolean } {
  const layer = /layer_(\d+)/.exec(path)?.[1];
  const l0 = /average_l0_(\d+)/.exec(path)?.[1];
  const transcoder = /transcoder|(?:^|\/)clt/.test(path);
  const place = /-res(?:[/@]|$)|resid_post/.test(path)
    ? 'hook_resid_post'
    : /-att(?:[/@]|$)|attn_out/.test(path)
      ? 'attn.hook_z'
      : /-mlp(?:[/@]|$)|mlp_out/.test(path)
        ? 'hook_mlp_out'
        : undefined;
  const hook = layer === undefined ? undefined : transcoder ? undefined : place;
  return {
    transcoder,
    metadata: {
      ...(hook ? { hook_name: `blocks.${layer}.${hook}` } : {}),
      ...(transcoder && layer !== undefined
        ? { hook_name: `blocks.${layer}.ln2.hook_normalized`, hook_name_out: `blocks.${layer}.hook_mlp_out` }
        : {}),
      ...(l0 === undefined ? {} : { l0: Number(l0) }),
    },
  };
}

async function read(files: SaeFiles): Promise<Plan> {
  const { folder, path } = files;
  const name = await fileOf(files);
  const where = `${folder.name}/${name}`;
  const tensors = tensorsOf(await files.tensors(name));
  const [W_enc, W_dec] = [tensors.take('W_enc', 'w_enc'), tensors.take('W_dec', 'w_dec')];
  const [b_enc, b_dec, threshold] = [tensors.take('b_enc'), tensors.take('b_dec'), tensors.take('threshold')];
  const skip = tensors.has('affine_skip_connection') ? tensors.take('affine_skip_connection') : undefined;
  tensors.finish();
  if (W_dec.shape.length === 3)
    throw new Error(
      `${where}: w_dec is [${W_dec.shape.join(', ')}]: a cross-layer transcoder, which writes to several layers and is not read.`,
    );
  const [F, D] = [
    b_enc.shape[0] ?? 0,
    matrixShape(W_enc, where).find((n) => n !== b_enc.shape[0]) ?? b_enc.shape[0]!,
  ];
  refuseSquare(D, F, '[D,F]', where);
  const found = fromPath(path);
  const beside = await files.json(BESIDE);
  const Dout = b_dec.shape[0]!;
  const transcoder = found.transcoder || skip !== undefined || Dout !== D || beside?.transcoder === true;
  const metadata: Record<string, unknown> = {
    ...found.metadata,
    ...(beside?.metadata as Record<string, unknown> | undefined),
  };
  // hook_z of Gemma Scope has its heads side by side; a file of ours says it.
  const flattened = beside?.flattened ?? String(metadata.hook_name ?? '').endsWith('hook_z');
  const embedding = /(?:^|\/)embedding\//.test(path);
  const config: SaeConfig = {
    architecture: 'jumprelu',
    ...{ D, F },
    ...(transcoder ? { Dout } : { subtractDecoderBias: false }),
    ...(flattened === true ? { flattened } : {}),
    metadata,
  };
  const root = Math.sqrt(D);
  return {
    config,
    arrays: {
      // Trained on embeddings before Gemma multiplies them by the root of the width.
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
  const { config, W_enc, b_enc, W_dec, b_dec } = sae;
  const { D, F, architecture, Dout } = config;
  const theta =
    sae.threshold ??
    (architecture === 'relu'
      ? new Float32Array(F)
      : 'threshold' in config
        ? new Float32Array(F).fill(config.threshold)
        : undefined);
  if (
    !theta ||
    config.inputNorm ||
    sae.b_token ||
    sae.W_skip ||
    (Dout === undefined && config.subtractDecoderBias !== false)
  )
    throw new Error(
      `Gemma Scope has no place for ${describeSae(config)}${config.subtractDecoderBias !== false && Dout === undefined ? ' that reads x - b_dec' : ''}: it has JumpReLU SAEs that read x itself.`,
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
      : file.endsWith('.npz') || file === SAFETENSORS,
  read,
  write,
};
