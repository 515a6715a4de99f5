/**
 * One training step, the same program on every rank (each has its own latents, all have the whole batch).
 *
 *   x    = s * raw                                       s from initialisation
 *   y    = x - b_dec                                     what is reconstructed; of a transcoder another place of the model
 *   pre  = (x - b_dec) W_enc^T + b_enc                   the only dense product, in row tiles
 *   z    = the variant's active latents,  e = x - b_dec - z W_dec      partial reconstructions summed in a fixed tree
 *   L    = mseScale mean(e^2) + the variant's own terms + alpha L_aux  mean over B and D
 *   G    = dL/dW_dec - (dL/dW_dec . w) w                 then Adam, then W_dec rows back to unit norm
 *
 * Gao et al. 2024, sec. 2.3 and appendix A; papers' released code for the order of things. "Fired" is z > 0 (their code: 1e-3).
 * Variants: variants/, one file each.
 */
import { pointer as at } from '../kernels/arena.ts';
import { outputWidth } from '../sae/check.ts';
import type { Product } from '../sae/product.ts';
import { listCompetitors, selectAux } from './auxk.ts';
import type { Comm } from './comm/types.ts';
import { auxBlock } from './constants.ts';
import { coefficientAt } from './control.ts';
import type { Group } from './group.ts';
import { total } from './reconstruct.ts';
import { resample, resamplesAfter } from './resample.ts';
import { learningRate } from './schedule.ts';
import { subtractSkip, updateSkip } from './skip.ts';
import { subtractTokenBias, updateTokenBias } from './token-bias.ts';
import type { Beside, StepMetrics, TrainerConfig } from './types.ts';
import { average, countFirings } from './update.ts';
import { variantOf } from './variants/index.ts';

/** Numbers fixed by initialisation. */
export type Scales = {
  /** s of x. */
  readonly inputScale: number;
  readonly mseScale: number;
  /** s of what is reconstructed; that of x unless this is a transcoder. */
  readonly outputScale: number;
};

/** `finite` is false when the loss was not; nothing was changed then. */
export type StepResult = StepMetrics & { readonly finite: boolean };

/** What a rank works with. */
export type StepContext = {
  readonly group: Group;
  readonly comm: Comm;
  readonly product: Product;
  readonly config: TrainerConfig;
};

/** Runs step number `step` (from 0) on raw rows [B,D]. */
export async function trainStep(
  context: StepContext,
  scales: Scales,
  step: number,
  raw: Float32Array,
  beside: Beside = {},
): Promise<StepResult> {
  const { group, comm, config } = context;
  const { B } = config;
  const variant = variantOf(config);
  const { y, tokens } = beside;
  load(group, config.D, raw, scales.inputScale, y ? group.centre : group.b_dec, group.x);
  if (y) load(group, outputWidth(config), y, scales.outputScale, group.b_dec, group.y);
  else if (tokens) group.y.set(group.x);
  const variance = centredSquares(group, group.y, B);
  if (variant.skip) await subtractSkip(context);
  if (tokens) subtractTokenBias(context, tokens);
  const competitors = config.auxk > 0 && variant.auxk ? listCompetitors(group, config, step) : undefined;
  const input = { scales, toLoss: scales.mseScale / (B * outputWidth(config)), step, competitors };
  const coefficient = coefficientAt(group, config, step);
  const forward = await variant.forward(context, input);

  const finite = Number.isFinite(forward.loss);
  const hasAux = finite && competitors !== undefined && selectAux(group, comm, config, competitors) > 0;
  const aux = hasAux ? auxLoss(context) : { loss: 0, g: 0 };
  if (finite) {
    // biome-ignore format: one thing
    await variant.backward(context, { ...input, competitors: hasAux ? competitors : undefined, auxG: aux.g, forward });
    if (variant.skip) await updateSkip(context, 2 * input.toLoss, step);
    if (tokens) updateTokenBias(context, tokens);
    if (config.ema) average(group, Object.keys(variant.parameters), Math.fround(config.ema));
    countFirings(group);
    if (resamplesAfter(step, config)) resample(context, step);
  }
  const { active, dead } = countOverRanks(context);
  return {
    finite,
    step: step + 1,
    tokens: (step + 1) * B,
    loss: forward.loss + config.auxkCoefficient * aux.loss,
    fvu: forward.squaredError / variance,
    ...(forward.wideError === undefined ? {} : { multiTopkFvu: forward.wideError / variance }),
    l0: active / B,
    auxLoss: aux.loss,
    dead,
    lr: learningRate(step, config),
    ...(variant.penalised ? { coefficient, penalty: forward.penalty ?? 0 } : {}),
  };
}

/** L_aux, and dL/dxhat_aux = -g (e - xhat_aux), which is left in auxError. */
function auxLoss({ group, comm, config }: StepContext): { readonly loss: number; readonly g: number } {
  const { kernels, D, own } = group;
  const { B } = config;
  const scale = centredSquares(group, group.error, B);
  // biome-ignore format: grouped as in the kernel
  kernels.decodeRows(
    at(group.auxRowStart), at(group.auxRowLatent), at(group.auxRowValue), at(group.weights.W_dec),
    at(group.leaves), at(group.partial), B, own, D, auxBlock,
  );
  comm.allReduceSum('partial', group.partial, group.partial);
  kernels.rowError(at(group.error), at(group.partial), at(group.auxError), at(group.squared), B, D);
  // 0 / 0 when there is nothing left to explain: no loss, no gradient.
  return scale > 0
    ? { loss: total(group.squared) / scale, g: (2 * config.auxkCoefficient) / scale }
    : { loss: 0, g: 0 };
}

/** Active entries of the batch, and dead latents. */
function countOverRanks({ group, comm, config }: StepContext): { active: number; dead: number } {
  const mine = Int32Array.of(0, 0);
  for (const rows of group.firedNow) mine[0]! += rows;
  for (const since of group.sinceFired) if (since >= config.deadSteps) mine[1]!++;
  const counts = new Int32Array(2 * comm.size);
  comm.allGather('counts', mine, counts);
  const sum = (place: number) => counts.reduce((n, count, i) => (i % 2 === place ? n + count : n), 0);
  return { active: sum(0), dead: sum(1) };
}

/** rows = s * raw - centre, raw rows of this width padded to the group's D. */
function load(
  { kernels, D }: Group,
  width: number,
  raw: Float32Array,
  scale: number,
  centre: Float32Array,
  rows: Float32Array,
): void {
  const B = raw.length / width;
  if (width === D) rows.set(raw);
  else for (let b = 0; b < B; b++) rows.set(raw.subarray(b * width, (b + 1) * width), b * D);
  kernels.centre(at(rows), at(centre), scale, at(rows), B, D);
}

/** sum over b of |v_b - mean v|^2. */
function centredSquares({ kernels, sums, D }: Group, v: Float32Array, B: number): number {
  kernels.columnSums(at(v), at(sums), B, D);
  const total = kernels.squaredSum(at(v), B, D);
  return total - sums.reduce((a, s) => a + s * s, 0) / B;
}
