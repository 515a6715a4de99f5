/**
 * Starting from a finished SAE of the same kind (fine-tuning): its weights, in the units that training works in.
 *
 *   s, mseScale   from the sample, as for a random start; of a transcoder s_x, s_y and c too
 *   SAE           W_enc, W_dec as they are: z scales with s x;   b_enc, b_dec, theta, b_mag times s;   r_mag as it is
 *   transcoder    W_enc, W_skip times s_y / s_x;   b_enc s_y + W_enc c,   b_dec s_y + W_skip c          (export.ts the other way round)
 *
 * So s xhat(x) is what the trainer computes from s x. Adam starts at zero, and so does BatchTopK's running threshold.
 */
import { describeSae, outputWidth } from '../sae/check.ts';
import { rowNorms } from '../sae/formats/fold.ts';
import type { Sae } from '../sae/types.ts';
import { variantOf as kindOf } from '../sae/variants/registry.ts';
import { geometricMedian, scalesOf } from './init.ts';
import type { Scales } from './step.ts';
import type { TrainerConfig } from './types.ts';
import { variantOf } from './variants/index.ts';

/** Farther from 1 than rounding to half precision moves a norm. */
const normTolerance = 0.01;

/** Throws when the SAE is of another kind or has other sizes than the run, or decoder rows that are not of unit norm. */
export function checkStart(config: TrainerConfig, from: Sae): void {
  checkKind(config, from);
  for (const letter of ['D', 'Dout', 'F', 'K'] as const) {
    const found = letter in from.config ? from.config[letter as 'D'] : config[letter];
    if (found !== config[letter])
      throw new Error(
        `The SAE to start from has ${meaning[letter]} ${letter} = ${found}, this run has ${config[letter]}. ${remedy[letter](found!)}`,
      );
  }
  const norms = rowNorms(from.W_dec, config.F);
  const bad = norms.findIndex((norm) => !(Math.abs(norm - 1) <= normTolerance));
  if (bad >= 0)
    throw new Error(
      `Decoder row ${bad} of the SAE to start from has norm ${norms[bad]!.toPrecision(4)}. Training keeps every row at 1, and scaling this one would change which latents are the top K. Start from an SAE with a unit-norm decoder.`,
    );
}

/** Only what this trainer makes, and nothing that it would leave out. */
function checkKind(config: TrainerConfig, { config: found, W_skip, b_token }: Sae): void {
  const { settings, transcodes = false, skip = false } = variantOf(config);
  const own = settings(config, 0);
  const more = [
    ...('signed' in found && found.signed && !config.signed ? ['signed codes'] : []),
    ...(found.inputNorm === undefined ? [] : ['normalised input']),
    ...(found.Dout === undefined && found.subtractDecoderBias === false
      ? ['an encoder that reads x itself']
      : []),
    ...(W_skip && !skip ? ['a skip connection'] : []),
    ...(b_token && !config.vocabulary ? ['a token bias'] : []),
  ];
  const what = `The SAE to start from is ${describeSae(found)}${more.length > 0 ? ` with ${more.join(' and ')}` : ''}`;
  if (
    found.architecture !== own.architecture ||
    (found.Dout !== undefined) !== transcodes ||
    !W_skip === skip
  )
    throw new Error(
      `${what}; this run trains ${config.variant ?? 'topk'}, ${kindOf(own.architecture).title}${transcodes ? ' from one hook to another' : ''}. Choose the --variant that it is.`,
    );
  if (more.length > 0) throw new Error(`${what}, which training would leave out. Start from one without.`);
  if (config.signed && !('signed' in found && found.signed))
    throw new Error(`${what} without signed codes, which this run has. Leave out --signed.`);
  const V = b_token && b_token.length / outputWidth(config);
  if (V !== undefined && V !== config.vocabulary)
    throw new Error(
      `${what} and a bias for each of ${V} tokens; the model has ${config.vocabulary}. Use the model that it was trained on.`,
    );
  const prefixes = 'prefixes' in found ? found.prefixes.join(', ') : undefined;
  if ('prefixes' in own && prefixes !== own.prefixes.join(', '))
    throw new Error(
      `The SAE to start from has the prefixes ${prefixes}, this run ${own.prefixes.join(', ')}. Give --prefixes ${prefixes?.replaceAll(',', '')}.`,
    );
}

/** What a trainer starts with: arrays by their names in its state. */
export type Initial = { readonly scales: Scales; readonly arrays: Readonly<Record<string, Float32Array>> };

/** Throws as `checkStart` does, and when the samples x [N,D], y [N,Dout] of a transcoder, cannot give the scales. */
export function parametersOf(config: TrainerConfig, x: Float32Array, from: Sae, y = x): Initial {
  checkStart(config, from);
  const { D } = config;
  const { inputScale } = scalesOf(x, D);
  const { inputScale: outputScale, mseScale } = scalesOf(y, outputWidth(config));
  const scales = { inputScale, mseScale, outputScale };
  const W_dec = from.W_dec.slice();
  normaliseRowsInPlace(W_dec, outputWidth(config));
  const times = (array: Float32Array, factor: number): Float32Array => array.map((v) => v * factor);
  const b_enc = times(from.b_enc, outputScale);
  const b_dec = times(from.b_dec, outputScale);
  const own = Object.entries(variantOf(config).parameters).map(([name, parameter]) => [
    name,
    times(from[name as 'threshold']!, parameter.scales ? outputScale : 1),
  ]);
  const shared: Record<string, Float32Array> = {
    ...{ W_dec, b_enc, b_dec, ...Object.fromEntries(own) },
    ...(from.b_token ? { b_token: times(from.b_token, outputScale) } : {}),
  };
  if (!variantOf(config).transcodes) return { scales, arrays: { W_enc: from.W_enc, ...shared } };
  const centre = Float32Array.from(geometricMedian(x, D), (v) => v * inputScale);
  const W_enc = times(from.W_enc, outputScale / inputScale);
  addProduct(W_enc, centre, b_enc);
  const W_skip = from.W_skip && times(from.W_skip, outputScale / inputScale);
  if (W_skip) addProduct(W_skip, centre, b_dec);
  return { scales, arrays: { W_enc, ...shared, centre, ...(W_skip ? { W_skip } : {}) } };
}

/** bias += factor W v for W [n,D]. */
export function addProduct(W: Float32Array, v: Float32Array, bias: Float32Array, factor = 1): void {
  for (let i = 0; i < bias.length; i++) {
    let sum = 0;
    for (let d = 0; d < v.length; d++) sum += W[i * v.length + d]! * v[d]!;
    bias[i]! += factor * sum;
  }
}

const meaning = { D: 'width', Dout: 'output width', F: 'latents', K: 'active latents' };
const remedy = {
  D: (_: number) => 'Use the model and hook that it was trained on.',
  Dout: (_: number) => 'Use the hooks that it was trained on.',
  F: (found: number) => `Use --latents ${found}.`,
  K: (found: number) => `Use --k ${found}.`,
};

/** W [F,D]: every row to unit norm. */
export function normaliseRowsInPlace(W: Float32Array, D: number): void {
  const norms = rowNorms(W, W.length / D);
  for (let j = 0; j < W.length; j++) W[j]! /= norms[Math.floor(j / D)]!;
}

export function scaleInPlace(v: Float32Array, factor: number): void {
  for (let j = 0; j < v.length; j++) v[j]! *= factor;
}
