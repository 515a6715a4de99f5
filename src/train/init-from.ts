/**
 * Starting from a finished SAE (fine-tuning): its weights, in the units that training works in.
 *
 *   s, mseScale   from the sample, as for a random start
 *   W_enc, W_dec  as they are: z scales with s x
 *   b_enc, b_dec  times s
 *
 * So s xhat(x) is what the trainer computes from s x. Adam starts at zero.
 */
import { describeSae } from '../sae/check.ts';
import { rowNorms } from '../sae/formats/fold.ts';
import type { Sae } from '../sae/types.ts';
import { scalesOf } from './init.ts';
import type { Scales } from './step.ts';
import type { TrainerConfig } from './types.ts';

/** Farther from 1 than rounding to half precision moves a norm. */
const normTolerance = 0.01;

/** Throws when the SAE has other sizes than the run, or decoder rows that are not of unit norm. */
export function checkStart(
  config: Pick<TrainerConfig, 'D' | 'F' | 'K'>,
  from: Sae,
): asserts from is Sae<'topk'> {
  if (!isPlainTopK(from))
    throw new Error(
      `The SAE to start from is ${describeSae(from.config)}${from.W_skip ? ' with a skip connection' : ''}; training goes on with TopK SAEs that read x - b_dec and nothing more.`,
    );
  for (const letter of ['D', 'F', 'K'] as const)
    if (from.config[letter] !== config[letter])
      throw new Error(
        `The SAE to start from has ${meaning[letter]} ${letter} = ${from.config[letter]}, this run has ${config[letter]}. ${remedy[letter](from.config[letter])}`,
      );
  const norms = rowNorms(from.W_dec, config.F);
  const bad = norms.findIndex((norm) => !(Math.abs(norm - 1) <= normTolerance));
  if (bad >= 0)
    throw new Error(
      `Decoder row ${bad} of the SAE to start from has norm ${norms[bad]!.toPrecision(4)}. Training keeps every row at 1, and scaling this one would change which latents are the top K. Start from an SAE with a unit-norm decoder.`,
    );
}

/** What this trainer makes, and nothing that it would leave out. */
const isPlainTopK = (sae: Sae): sae is Sae<'topk'> => {
  const { config, b_token, W_skip } = sae;
  return (
    config.architecture === 'topk' &&
    !config.signed &&
    config.Dout === undefined &&
    config.inputNorm === undefined &&
    config.subtractDecoderBias !== false &&
    b_token === undefined &&
    W_skip === undefined
  );
};

export type Initial = { readonly scales: Scales } & Pick<Sae, 'W_enc' | 'W_dec' | 'b_enc' | 'b_dec'>;

/** Throws as `checkStart` does, and when the sample cannot give the scales. */
export function parametersOf(config: TrainerConfig, sample: Float32Array, from: Sae): Initial {
  checkStart(config, from);
  const { D } = config;
  const scales = scalesOf(sample, D);
  const W_dec = from.W_dec.slice();
  normaliseRowsInPlace(W_dec, D);
  const scaled = (bias: Float32Array): Float32Array => bias.map((v) => v * scales.inputScale);
  return { scales, W_enc: from.W_enc, b_enc: scaled(from.b_enc), W_dec, b_dec: scaled(from.b_dec) };
}

const meaning = { D: 'width', F: 'latents', K: 'active latents' };
const remedy = {
  D: () => 'Use the model and hook that it was trained on.',
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
