/**
 * Numbers that change from step to step and are the same on every rank: the sparsity controller, and the threshold of BatchTopK.
 *
 *   e      = log(L0 / target)                          after every step, L0 of its batch; between -3 and 3
 *   theta += kappa m (e + v)                           for all latents alike (of ReLU and Gated: b -= the same)
 *   v     += iota e                                    near the target only, |e| < 1/2;  iota = kappa^2 / 5
 *   log lambda += rho (e + v)                          its step between -rho and rho; and lambda* / 2 <= lambda <= lambda*
 *
 * Were the tail of the pre-activations above theta exponential, its mean excess m = mean (pre - theta | pre > theta) would be the exact
 * gain: moving theta by m e would bring L0 to the target in one step; kappa = 0.8 goes most of the way. Near the target kappa falls with the
 * learning rate, to 0.1: the less the gradient moves, the less the noise of one batch should. What the gradient does to L0 step after step is
 * met by v, so that no distance remains; iota < kappa / 4 keeps both roots of the loop real: no oscillation. v is then how
 * hard the thresholds have to be pushed, and lambda moves until the penalty does the pushing and v rests at 0. So lambda matters although
 * Adam cancels its size in the gradient of a threshold. lambda* is the lambda with which, over the whole batch, reconstruction and penalty
 * pull equally hard at what the penalty reaches; at a stationary point lambda = lambda*, so a start that is decades off is brought near
 * at once, before it has shrunk every latent or left it to the thresholds alone. The constants are ours.
 */
import type { Group } from './group.ts';
import { learningRate } from './schedule.ts';
import type { TrainerConfig } from './types.ts';

const kappaMost = 0.8;
const kappaLeast = 0.1;
const near = 0.5;
const rho = 0.1;
/** Of the average of lambda*. */
const smoothing = 0.1;

/** Places in `control`. */
export const place = { coefficient: 0, excess: 1, threshold: 2, thresholdWeight: 3, push: 4, balance: 5 };

export const startControl = ({ sparsity }: TrainerConfig): Float64Array =>
  Float64Array.of(Math.log(sparsity?.coefficient ?? 1), 0, 0, 0, 0, 0);

/** lambda of a step counted from 0. */
export function coefficientAt({ control }: Group, { sparsity }: TrainerConfig, step: number): number {
  if (sparsity === undefined) return 0;
  const { l0, warmupSteps } = sparsity;
  if (l0 > 0) return Math.exp(control[place.coefficient]!);
  return sparsity.coefficient * (warmupSteps > 0 ? Math.min(1, (step + 1) / warmupSteps) : 1);
}

/** p of the penalty: 1, then down in ten equal steps (Karvonen et al. 2024 take as many). */
export function powerAt({ sparsity, totalSteps }: TrainerConfig, step: number): number {
  const anneal = sparsity?.anneal;
  if (anneal === undefined || step < anneal.from) return 1;
  const passed = Math.floor((10 * (step - anneal.from)) / Math.max(1, totalSteps - anneal.from)) + 1;
  return 1 - ((1 - anneal.end) * Math.min(10, passed)) / 10;
}

export type Seen = {
  /** Active entries of the batch, and over them the sum of pre - theta. */
  readonly active: number;
  readonly excess: number;
  /** lambda*; not positive or not a number where nothing says what it is. */
  readonly balance: number;
};

/** After a step: moves lambda, and returns by how much thresholds rise. */
export function holdL0({ control }: Group, config: TrainerConfig, step: number, seen: Seen): number {
  const target = config.sparsity?.l0 ?? 0;
  if (target === 0) return 0;
  const { active, excess, balance } = seen;
  // Nothing is active: the last excess that was seen says how far away the pre-activations are.
  if (active > 0) control[place.excess] = excess / active;
  const e = between(-3, Math.log(Math.max(active, 1) / (config.B * target)), 3);
  const settled = Math.abs(e) < near ? learningRate(step, config) / config.lr : 1;
  const kappa = kappaLeast + (kappaMost - kappaLeast) * settled;
  const push = e + control[place.push]!;
  let logLambda = control[place.coefficient]! + rho * between(-1, push, 1);
  if (balance > 0 && Number.isFinite(balance)) {
    const before = control[place.balance]!;
    const smooth = before === 0 ? balance : before + smoothing * (balance - before);
    control[place.balance] = smooth;
    logLambda = between(Math.log(smooth / 2), logLambda, Math.log(smooth));
  }
  control[place.coefficient] = logLambda;
  if (Math.abs(e) < near) control[place.push]! += (kappa ** 2 / 5) * e;
  return kappa * control[place.excess]! * push;
}

const between = (low: number, v: number, high: number): number => Math.max(low, Math.min(high, v));

/** Decay of the average: 0.999, shorter in runs that are shorter than some thousand steps (ours). */
const thresholdDecay = (totalSteps: number): number => Math.min(0.999, 1 - Math.min(1, 20 / totalSteps));

/** Adds the least active value of a batch to the running average that serves as threshold afterwards. */
export function averageThreshold({ control }: Group, { totalSteps }: TrainerConfig, least: number): void {
  const decay = thresholdDecay(totalSteps);
  control[place.threshold] = decay * control[place.threshold]! + (1 - decay) * least;
  control[place.thresholdWeight] = decay * control[place.thresholdWeight]! + (1 - decay);
}

/** The average, corrected for its start at 0. */
export const thresholdOf = (control: ArrayLike<number>): number =>
  control[place.thresholdWeight]! > 0 ? control[place.threshold]! / control[place.thresholdWeight]! : 0;
