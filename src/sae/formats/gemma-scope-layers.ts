/**
 * Cross-layer transcoders and weakly causal crosscoders of Gemma Scope 2, layer by layer: params_layer_N.safetensors, N from 0.
 *
 *     w_enc [D,F]   b_enc [F]   threshold [F]   w_dec [F,L,D]   b_dec [D]   affine_skip_connection [D,D]
 *     z = pre where pre > threshold, pre = x w_enc + b_enc;   to layer l >= N: z w_dec[:,l], and to its own b_dec (+ x affine_skip_connection)
 *
 * All L layers have a place in w_dec. Those before N are near 0 as trained, and left out here as in circuit-tracer. Where they read is in the
 * path only, as released:
 *
 *     gemma-scope-2-1b-pt/clt/width_262k_l0_medium_affine/params_layer_5     gemma-scope-2-1b-pt/crosscoder/layer_7_13_17_22_width_65k_l0_medium/params_layer_2
 *
 * A transcoder reads and writes what those of one layer do (gemma-scope.ts), a crosscoder the stream behind each of its layers.
 */
import type { SaeConfig } from '../types.ts';
import {
  CROSS_LAYER,
  crossLayerDecoder,
  type Plan,
  refuseComputing,
  refuseSquare,
  type SaeFiles,
  tensorsOf,
} from './format.ts';

export const LAYER_FILE = /^params_layer_(\d+)\.safetensors$/;
const CONFIG = 'config.json';
const TRANSCODER = /(?:^|\/)clt\/width_[^/]+\/?$/;
const CROSSCODER = /(?:^|\/)crosscoder\/layer_(\d+(?:_\d+)*)_width_[^/]+\/?$/;

/** The hook that is read and those that are written, of the layers that are in w_dec. @throws where the path says another number of layers */
function placesOf(path: string, N: number, L: number, where: string): Record<string, unknown> {
  const layers = CROSSCODER.exec(path)?.[1]?.split('_');
  if (layers && layers.length !== L)
    throw new Error(`${where}: w_dec writes to ${L} layers, the path names ${layers.join(', ')}.`);
  if (!layers && !TRANSCODER.test(path)) return {};
  const [reads, writes] = layers ? ['hook_resid_post', 'hook_resid_post'] : ['mlp.hook_in', 'hook_mlp_out'];
  const blocks = (layers ?? Array.from({ length: L }, (_, l) => l)).slice(N);
  return {
    hook_name: `blocks.${blocks[0]}.${reads}`,
    hook_names_out: blocks.map((block) => `blocks.${block}.${writes}`),
  };
}

export async function readLayer(files: SaeFiles): Promise<Plan> {
  const { folder, file } = files;
  const where = `${folder.name}/${file}`;
  const N = Number(LAYER_FILE.exec(file!)![1]);
  const json = await files.json(CONFIG);
  if (json) refuseComputing(json, `${folder.name}/${CONFIG}`, /^jump_?relu$/i);
  const tensors = tensorsOf(await files.tensors(file!));
  const skip = tensors.has('affine_skip_connection') ? tensors.take('affine_skip_connection') : undefined;
  const W_dec = tensors.take('w_dec');
  const arrays = {
    W_enc: { tensor: tensors.take('w_enc'), transposed: true },
    b_enc: { tensor: tensors.take('b_enc') },
    W_dec: crossLayerDecoder(W_dec, where, N),
    b_dec: { tensor: tensors.take('b_dec') },
    threshold: { tensor: tensors.take('threshold') },
    ...(skip ? { W_skip: { tensor: skip, transposed: true } } : {}),
  };
  tensors.finish();
  const [F, L, D] = W_dec.shape as [number, number, number];
  refuseSquare(D, F, '[D,F]', where);
  const places = L - N;
  const config: SaeConfig = {
    architecture: 'jumprelu',
    ...{ D, F, Dout: places * D, places },
    metadata: placesOf(files.path.replaceAll('\\', '/'), N, L, where),
  };
  return { config, arrays, notes: [CROSS_LAYER] };
}
