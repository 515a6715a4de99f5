/**
 * The second half of a step: gradients, Adam, unit norm, dead counters. The equations are in kernels/assembly/update.ts.
 *
 *   dL/db_dec = - g sum_b e_b - auxG sum_b (e_b - xhat_aux_b) - sum_i (dL/db_enc_i) W_enc_i
 *               - g/8 sum_b e_4K_b                       with Multi-TopK
 *
 * The encoder sees x - b_dec, hence the last term; AuxK also reaches b_dec through its reconstruction, as in the paper's code.
 */
import { pointer as at } from '../kernels/arena.ts';
import { type Competitors, listLearning } from './auxk.ts';
import { type Group, multiTopkWeight } from './group.ts';
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
};

/** Gradients and Adam for every own latent and for b_dec. */
export function update(
  { group, comm, config }: StepContext,
  { g, auxG, step, competitors }: UpdateInput,
): void {
  const { kernels, D, own, shardLatents, weights: w } = group;
  const { beta1, beta2, eps } = config.adam;
  const lr = learningRate(step, config);
  const stepSize = lr / (1 - beta1 ** (step + 1));
  const secondScale = 1 / Math.sqrt(1 - beta2 ** (step + 1));
  const wide = config.multiTopk === true;
  const freeze = { none: 0, decoder: 1, encoder: 2, soft: 4 }[config.freeze];
  group.biasGradients.fill(0);
  for (let s = 0; s < own; s++) {
    group.auxIndex.fill(0);
    const learning = competitors ? listLearning(group, s, competitors) : 0;
    if (learning > 0)
      // biome-ignore format: grouped as in the kernel
      kernels.accumulateAux(
        at(group.auxLearning), learning, config.B, D, at(group.x), auxG, at(group.auxError),
        at(group.auxLatentStart), at(group.auxLatentRow), at(group.auxLatentValue), at(w.W_dec),
        at(group.auxGradients), at(group.auxSums), at(group.cursor),
      );
    // biome-ignore format: grouped as in the kernel
    kernels.updateLatents(
      s * shardLatents, (s + 1) * shardLatents, D, at(group.x), g, at(group.error),
      at(group.latentStart), at(group.latentRow), at(group.latentValue),
      at(group.auxIndex), at(group.auxGradients), at(group.auxSums),
      at(w.W_enc), at(w.mEnc), at(w.vEnc), at(w.W_dec), at(w.mDec), at(w.vDec), at(w.b_enc), at(w.mBias), at(w.vBias),
      at(group.biasGradients) + s * D * 4, at(group.gradients),
      stepSize, secondScale, beta1, beta2, eps, freeze, at(w.W_start),
      multiTopkWeight * g, at(group.wideError), wide ? at(group.wideLatentStart) : 0, at(group.wideLatentRow),
      at(group.wideLatentValue), stepSize * (config.encoderLrScale ?? 1),
    );
  }

  updateBias(group, biasGradient({ group, comm, config }, g, auxG), config.adam, stepSize, secondScale);
}

/** dL/db_dec [D]: the encoder's shares of all shards in their tree, then - g sum_b e_b and AuxK's part. */
function biasGradient(
  { group, comm, config }: Omit<StepContext, 'product'>,
  g: number,
  auxG: number,
): Float32Array {
  const { kernels, D, sums } = group;
  const shards = new Float32Array(config.shards * D);
  comm.allGather('biasGradients', group.biasGradients, shards);
  for (let stride = 1; stride < config.shards; stride *= 2)
    for (let s = 0; s + stride < config.shards; s += 2 * stride)
      for (let d = 0; d < D; d++) shards[s * D + d]! += shards[(s + stride) * D + d]!;
  const gradient = shards.subarray(0, D);
  kernels.columnSums(at(group.error), at(sums), config.B, D);
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

/** Adam of b_dec, the same on every rank. */
function updateBias(
  { b_dec, mBDec: m, vBDec: v, D }: Group,
  gradient: Float32Array,
  { beta1, beta2, eps }: TrainerConfig['adam'],
  stepSize: number,
  secondScale: number,
): void {
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
export function average({ kernels, weights: w, b_dec, emaBDec, D }: Group, decay: number): void {
  for (const [mean, of] of [
    [w.emaEnc, w.W_enc],
    [w.emaDec, w.W_dec],
  ] as const)
    kernels.movingAverage(at(mean), at(of), of.length, decay);
  for (let i = 0; i < w.b_enc.length; i++) w.emaBias[i] = decay * w.emaBias[i]! + (1 - decay) * w.b_enc[i]!;
  for (let d = 0; d < D; d++) emaBDec[d] = decay * emaBDec[d]! + (1 - decay) * b_dec[d]!;
}

/** Dead counters, after the step is certain to count. */
export function countFirings({ latentStart, sinceFired, fired, F }: Group): void {
  for (let i = 0; i < F; i++) {
    const rows = latentStart[i + 1]! - latentStart[i]!;
    fired[i]! += rows;
    sinceFired[i] = rows > 0 ? 0 : sinceFired[i]! + 1;
  }
}
