/**
 * Resampling (Bricken et al. 2023), the other way to revive dead latents: every `resampleSteps` steps they start anew on rows that are
 * reconstructed badly, until the learning rate decays.
 *
 *   b        a row of the batch, with probability |e_b|^4 / sum |e|^4: the square of its loss; each latent draws its own
 *   w_dec <- y_b / |y_b|,   w_enc <- c m x_b / |x_b|,   b_enc <- 0            m: mean |w_enc| of the latents that live
 *   moments  0, and what else the latent has is as at the start
 *
 * c is the paper's 0.2 where latents have a threshold, and 1 where they compete: so short a row would never be among the K largest (ours).
 * x and y as in step.ts, without b_dec. A draw depends on seed, step and latent alone, so the number of ranks changes nothing.
 */
import { createRng } from '../shared/rng.ts';
import { momentsOf } from './constants.ts';
import type { StepContext } from './step.ts';
import type { TrainerConfig } from './types.ts';
import { variantOf } from './variants/index.ts';

/** c, the norm of a new encoder row over that of the others. */
const encoderShare = { threshold: 0.2, rows: 1, batch: 1 };

/** Whether dead latents start anew after step number `step`, from 0. */
export const resamplesAfter = (
  step: number,
  { resampleSteps = 0, totalSteps, decaySteps }: TrainerConfig,
): boolean => resampleSteps > 0 && (step + 1) % resampleSteps === 0 && step + 1 <= totalSteps - decaySteps;

export function resample(context: StepContext, step: number): void {
  const { group, config } = context;
  const { D, F, rank, weights: w, sinceFired, x, y } = group;
  const dead = Array.from(sinceFired.keys()).filter((i) => sinceFired[i]! >= config.deadSteps);
  const { parameters, selection } = variantOf(config);
  const scale = encoderShare[selection] * liveNorm(context);
  const upTo = lossesUpTo(context);
  const own = Object.entries(parameters);
  const moments = ['mBias', 'vBias', ...own.flatMap(([name]) => momentsOf(name))];
  for (const i of dead) {
    const draw = createRng(`resample/${config.seed}/${step}/${rank * F + i}`).uniform() * upTo[config.B - 1]!;
    const b = upTo.findIndex((sum) => sum > draw);
    // Nothing is left to explain: no row is worth a latent.
    if (b < 0) return;
    const row = (rows: Float32Array, factor: number): Float32Array => {
      const direction = rows.slice(b * D, (b + 1) * D);
      const norm = Math.hypot(...direction) || 1;
      return direction.map((v) => (v * factor) / norm);
    };
    w.W_dec.set(row(y, 1), i * D);
    w.W_enc.set(row(x, scale), i * D);
    for (const name of ['mEnc', 'vEnc', 'mDec', 'vDec']) w[name]!.fill(0, i * D, (i + 1) * D);
    for (const name of moments) w[name]![i] = 0;
    w.b_enc[i] = 0;
    for (const [name, { start }] of own) w[name]![i] = start(config);
    sinceFired[i] = 0;
  }
}

/** m, over all ranks, each shard's part rounded to float32 on its way. */
function liveNorm({ group, comm, config }: StepContext): number {
  const { D, own, shardLatents, sinceFired, weights } = group;
  const mine = new Float32Array(2 * own);
  for (let s = 0; s < own; s++) {
    let [sum, live] = [0, 0];
    for (let i = s * shardLatents; i < (s + 1) * shardLatents; i++) {
      if (sinceFired[i]! >= config.deadSteps) continue;
      sum += Math.hypot(...weights.W_enc.subarray(i * D, (i + 1) * D));
      live++;
    }
    mine.set([sum, live], 2 * s);
  }
  const all = new Float32Array(comm.size * mine.length);
  comm.allGather('liveNorms', mine, all);
  let [sum, live] = [0, 0];
  for (let s = 0; s < all.length; s += 2) {
    sum += all[s]!;
    live += all[s + 1]!;
  }
  return sum / Math.max(1, live);
}

/** Running sums over the rows b of |e_b|^4 [B]. */
function lossesUpTo({ group: { error, D }, config: { B } }: StepContext): Float64Array {
  const sums = new Float64Array(B);
  for (let b = 0; b < B; b++) {
    let square = 0;
    for (let d = b * D; d < (b + 1) * D; d++) square += error[d]! ** 2;
    sums[b] = (b > 0 ? sums[b - 1]! : 0) + square ** 2;
  }
  return sums;
}
