/**
 * The second half of a step: gradients, Adam, unit norm, dead counters. The equations are in kernels/assembly/update.ts.
 *
 *   dL/db_dec = - g sum_b e_b - auxG sum_b (e_b - xhat_aux_b) - sum_i (dL/db_enc_i) W_enc_i
 *               - g/8 sum_b e_4K_b                       with Multi-TopK
 *
 * The encoder sees x - b_dec, hence the last term, which a transcoder does not have; AuxK also reaches b_dec through its reconstruction, as in the paper's code.
 */
import { pointer as at } from '../kernels/arena.ts';
import { subtractsBias } from '../sae/check.ts';
import { type Competitors, listLearning } from './auxk.ts';
import { averageOf, multiTopkWeight } from './constants.ts';
import type { Group } from './group.ts';
import { learningRate } from './schedule.ts';
import type { StepContext } from './step.ts';
import type { TrainerConfig } from './types.ts';

export type UpdateInput = {
  /** dL/dxhat = -g e */
  readonly g: number;
  /** dL/dxhat_aux = -auxG (e - xhat_aux); 0 without AuxK in this step. */
  readonly auxG: number;
  readonly step: number;
  /** Given when there is an AuxK loss. */
  readonly competitors: Competitors | undefined;
  /** Where own latents [start, end) learn from other residuals than `error`: ascending, the first one also teaches b_dec. */
  readonly errors?: readonly LatentError[];
};

/** `error`: place of a residual [B,D] in the memory of the kernels. */
export type LatentError = { readonly start: number; readonly end: number; readonly error: number };

/** Gradients and Adam for every own latent and for b_dec, from the entries by latent. */
export function update(context: StepContext, input: UpdateInput): void {
  const { group } = context;
  const errors = input.errors ?? [{ start: 0, end: group.F, error: at(group.error) }];
  group.biasGradients.fill(0);
  for (let s = 0; s < group.own; s++) {
    group.auxIndex.fill(0);
    accumulateAux(context, s, input);
    updateShard(context, s, input, errors);
  }
  updateBias(context, input, errors[0]!.error);
}

/** Gradients of the dead latents of own shard s that learn from AuxK, into auxGradients; auxIndex says where. */
export function accumulateAux({ group, config }: StepContext, s: number, input: UpdateInput): void {
  const { auxG, competitors } = input;
  const learning = competitors ? listLearning(group, s, competitors) : 0;
  if (learning === 0) return;
  // biome-ignore format: grouped as in the kernel
  group.kernels.accumulateAux(
    at(group.auxLearning), learning, config.B, group.D, at(group.x), auxG, at(group.auxError),
    at(group.auxLatentStart), at(group.auxLatentRow), at(group.auxLatentValue), at(group.weights.W_dec),
    at(group.auxGradients), at(group.auxSums), at(group.cursor),
  );
}

/** Adam's factors in a step. */
export function adamScales(
  config: TrainerConfig,
  step: number,
): { readonly stepSize: number; readonly secondScale: number } {
  const { beta1, beta2 } = config.adam;
  return {
    stepSize: learningRate(step, config) / (1 - beta1 ** (step + 1)),
    secondScale: 1 / Math.sqrt(1 - beta2 ** (step + 1)),
  };
}

/** Adam for the latents of own shard s, from their entries or from where auxIndex points. */
export function updateShard(
  { group, config }: StepContext,
  s: number,
  { g, step }: UpdateInput,
  errors: readonly LatentError[],
): void {
  const { kernels, D, shardLatents, weights: w } = group;
  const { beta1, beta2, eps } = config.adam;
  const { stepSize, secondScale } = adamScales(config, step);
  const wide = config.multiTopk === true;
  const freeze = { none: 0, decoder: 1, encoder: 2, soft: 4 }[config.freeze];
  for (const { start, end, error } of errors) {
    const [from, to] = [Math.max(start, s * shardLatents), Math.min(end, (s + 1) * shardLatents)];
    if (from >= to) continue;
    // biome-ignore format: grouped as in the kernel
    kernels.updateLatents(
      from, to, D, at(group.x), g, error,
      at(group.latentStart), at(group.latentRow), at(group.latentValue),
      at(group.auxIndex), at(group.auxGradients), at(group.auxSums),
      at(w.W_enc), at(w.mEnc), at(w.vEnc), at(w.W_dec), at(w.mDec), at(w.vDec), at(w.b_enc), at(w.mBias), at(w.vBias),
      at(group.biasGradients) + s * D * 4, at(group.gradients),
      stepSize, secondScale, beta1, beta2, eps, freeze, at(w.W_start),
      multiTopkWeight * g, at(group.wideError), wide ? at(group.wideLatentStart) : 0, at(group.wideLatentRow),
      at(group.wideLatentValue), stepSize * (config.encoderLrScale ?? 1),
      group.biasSums.length > 0 ? at(group.biasSums) : 0,
    );
  }
}

/** dL/db_dec [D]: the encoder's shares of all shards in their tree, then - g sum_b e_b and AuxK's part. */
function biasGradient(
  { group, comm, config }: StepContext,
  { g, auxG }: UpdateInput,
  error: number,
): Float32Array {
  const { kernels, D, sums } = group;
  const shards = new Float32Array(config.shards * D);
  if (subtractsBias(config)) comm.allGather('biasGradients', group.biasGradients, shards);
  for (let stride = 1; stride < config.shards; stride *= 2)
    for (let s = 0; s + stride < config.shards; s += 2 * stride)
      for (let d = 0; d < D; d++) shards[s * D + d]! += shards[(s + stride) * D + d]!;
  const gradient = shards.subarray(0, D);
  kernels.columnSums(error, at(sums), config.B, D);
  for (let d = 0; d < D; d++) gradient[d]! -= g * sums[d]!;
  if (config.multiTopk) {
    kernels.columnSums(at(group.wideError), at(sums), config.B, D);
    for (let d = 0; d < D; d++) gradient[d]! -= multiTopkWeight * g * sums[d]!;
  }
  if (auxG > 0) {
    kernels.columnSums(at(group.auxError), at(sums), config.B, D);
    for (let d = 0; d < D; d++) gradient[d]! -= auxG * sums[d]!;
  }
  return gradient;
}

/** Adam of b_dec, the same on every rank; `error` is the place of the residual that it learns from. */
export function updateBias(context: StepContext, input: UpdateInput, error: number): void {
  const { b_dec, mBDec: m, vBDec: v, D } = context.group;
  const { beta1, beta2, eps } = context.config.adam;
  const { stepSize, secondScale } = adamScales(context.config, input.step);
  const gradient = biasGradient(context, input, error);
  for (let d = 0; d < D; d++) {
    const gd = gradient[d]!;
    m[d] = beta1 * m[d]! + (1 - beta1) * gd;
    v[d] = beta2 * v[d]! + (1 - beta2) * gd * gd;
    b_dec[d]! -= (stepSize * m[d]!) / (Math.sqrt(v[d]!) * secondScale + eps);
  }
}

/**
 * Moving averages of the weights after a step: m_t = decay m_{t-1} + (1 - decay) w_t from m_0 = 0; `exportSae` divides by
 * 1 - decay^t, as OpenAI's released code does (Gao et al. 2024), which averages the weights before the step instead. The decay
 * is a float32 number here and there: the difference would not cancel.
 */
export function average(group: Group, parameters: readonly string[], decay: number): void {
  const { kernels, weights: w, b_dec, emaBDec, D } = group;
  for (const [mean, of] of [
    [w.emaEnc, w.W_enc],
    [w.emaDec, w.W_dec],
    [w.emaSkip, w.W_skip],
  ] as const)
    kernels.movingAverage(at(mean), at(of), of.length, decay);
  const vectors: (readonly [Float32Array, Float32Array])[] = [
    [w.emaBias, w.b_enc],
    ...parameters.map((name) => [w[averageOf(name)]!, w[name]!] as const),
  ];
  for (const [mean, of] of vectors)
    for (let i = 0; i < of.length; i++) mean[i] = decay * mean[i]! + (1 - decay) * of[i]!;
  for (let d = 0; d < D; d++) emaBDec[d] = decay * emaBDec[d]! + (1 - decay) * b_dec[d]!;
}

/** Dead counters, after the step is certain to count. */
export function countFirings({ firedNow, sinceFired, fired, F }: Group): void {
  for (let i = 0; i < F; i++) {
    const rows = firedNow[i]!;
    fired[i]! += rows;
    sinceFired[i] = rows > 0 ? 0 : sinceFired[i]! + 1;
  }
}
