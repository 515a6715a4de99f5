/**
 * The SAE as it stands, in the units of raw activations: decoder rows stay of unit norm, so what reads is scaled instead.
 *
 *   SAE          x_raw = x / s                b_enc, b_dec, theta over s
 *   transcoder   xhat in units of s_y y       W_enc s_x / s_y,   (b_enc - W_enc c) / s_y,   b_dec, theta over s_y
 *                + skip                       W_skip s_x / s_y,   (b_dec - W_skip c) / s_y
 *
 * b_token as b_dec. z scales with x in every variant. c: see variants/transcoder.ts.
 */
import { outputWidth } from '../sae/check.ts';
import type { Sae, SaeConfig } from '../sae/types.ts';
import { averageOf } from './constants.ts';
import { thresholdOf } from './control.ts';
import { addProduct, normaliseRowsInPlace, scaleInPlace } from './init-from.ts';
import type { State } from './state.ts';
import type { Scales } from './step.ts';
import type { TrainerConfig } from './types.ts';
import { variantOf } from './variants/index.ts';

export async function exportWeights(
  config: TrainerConfig,
  state: State,
  step: number,
  { inputScale, outputScale }: Pick<Scales, 'inputScale' | 'outputScale'>,
  metadata: Record<string, unknown>,
): Promise<Sae> {
  const { D, F, Dout: given } = config;
  const Dout = outputWidth(config);
  const { parameters, settings, transcodes, skip } = variantOf(config);
  // Before the first step there is nothing to average yet.
  const averaged = Boolean(config.ema) && step > 0;
  const read = async (name: string, mean: string) =>
    (await state.read(averaged ? mean : name)) as Float32Array;
  const correction = config.ema && averaged ? 1 / (1 - Math.fround(config.ema) ** step) : 1;
  const W_enc = await read('W_enc', 'emaEnc');
  const W_dec = await read('W_dec', 'emaDec');
  if (averaged) {
    scaleInPlace(W_enc, correction);
    normaliseRowsInPlace(W_dec, Dout);
  }
  // z scales with x (all variants do), so unscaled inputs only need unscaled biases and thresholds; W_dec stays unit norm.
  const unscaled = async (name: string, mean: string, scaling = true): Promise<Float32Array> =>
    (await read(name, mean)).map((v) => (v * correction) / (scaling ? outputScale : 1));
  const own: Record<string, Float32Array> = {};
  for (const [name, { scales: scaling }] of Object.entries(parameters))
    own[name] = await unscaled(name, averageOf(name), scaling);
  const threshold = thresholdOf((await state.read('control')) as Float64Array) / outputScale;
  const b_enc = await unscaled('b_enc', 'emaBias');
  const b_dec = await unscaled('b_dec', 'emaBDec');
  const V = config.vocabulary;
  const b_token = V && ((await state.read('b_token')) as Float32Array).slice(0, V * Dout);
  if (b_token) scaleInPlace(b_token, 1 / outputScale);
  const W_skip = skip ? (await unscaled('W_skip', 'emaSkip', false)).slice(0, Dout * D) : undefined;
  if (transcodes) {
    const centre = ((await state.read('centre')) as Float32Array).map((v) => v / outputScale);
    for (const [W, bias] of [[W_enc, b_enc] as const, ...(W_skip ? [[W_skip, b_dec] as const] : [])]) {
      addProduct(W, centre, bias, -1);
      scaleInPlace(W, inputScale / outputScale);
    }
  }
  return {
    config: {
      ...{ D, F, ...(given === undefined ? {} : { Dout: given }), metadata },
      ...settings(config, threshold),
    } as SaeConfig,
    ...{ W_enc, W_dec, b_enc, b_dec, ...own },
    ...(W_skip ? { W_skip } : {}),
    ...(b_token ? { b_token } : {}),
  };
}
