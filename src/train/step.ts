/**
 * One training step, the same program on every rank (each has its own latents, all have the whole batch).
 *
 *   x    = s * raw                                       s from initialisation
 *   pre  = (x - b_dec) W_enc^T + b_enc                   the only dense product, in row tiles
 *   z    = the variant's active latents,  e = x - b_dec - z W_dec      partial reconstructions summed in a fixed tree
 *   L    = mseScale mean(e^2) + the variant's own terms + alpha L_aux  mean over B and D
 *   G    = dL/dW_dec - (dL/dW_dec . w) w                 then Adam, then W_dec rows back to unit norm
 *
 * Gao et al. 2024, sec. 2.3 and appendix A; papers' released code for the order of things. "Fired" is z > 0 (their code: 1e-3).
 * Variants: variants/, one file each.
 */
import { pointer as at } from '../kernels/arena.ts';
import type { Product } from '../sae/product.ts';
import { listCompetitors, selectAux } from './auxk.ts';
import type { Comm } from './comm/types.ts';
import { auxBlock } from './constants.ts';
import { coefficientAt } from './control.ts';
import type { Group } from './group.ts';
import { total } from './reconstruct.ts';
import { learningRate } from './schedule.ts';
import type { StepMetrics, TrainerConfig } from './types.ts';
import { average, countFirings } from './update.ts';
import { variantOf } from './variants/index.ts';

/** Numbers fixed by initialisation. */
export type Scales = { readonly inputScale: number; readonly mseScale: number };

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
): Promise<StepResult> {
  const { group, comm, config } = context;
  const { B } = config;
  const variant = variantOf(config);
  loadBatch(group, config, scales.inputScale, raw);
  const variance = centredSquares(group, group.x, B);
  const competitors = config.auxk > 0 && variant.auxk ? listCompetitors(group, config, step) : undefined;
  const input = { scales, toLoss: scales.mseScale / (B * config.D), step, competitors };
  const coefficient = coefficientAt(group, config, step);
  const forward = await variant.forward(context, input);

  const finite = Number.isFinite(forward.loss);
  const hasAux = finite && competitors !== undefined && selectAux(group, comm, config, competitors) > 0;
  const aux = hasAux ? auxLoss(context) : { loss: 0, g: 0 };
  if (finite) {
    // biome-ignore format: one thing
    await variant.backward(context, { ...input, competitors: hasAux ? competitors : undefined, auxG: aux.g, forward });
    if (config.ema) average(group, Object.keys(variant.parameters), Math.fround(config.ema));
    countFirings(group);
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

/** x = s * raw - b_dec, rows padded to the group's D. */
function loadBatch(
  { x, b_dec, kernels, D }: Group,
  config: TrainerConfig,
  scale: number,
  raw: Float32Array,
): void {
  if (config.D === D) x.set(raw);
  else for (let b = 0; b < config.B; b++) x.set(raw.subarray(b * config.D, (b + 1) * config.D), b * D);
  kernels.centre(at(x), at(b_dec), scale, at(x), config.B, D);
}

/** sum over b of |v_b - mean v|^2. */
function centredSquares({ kernels, sums, D }: Group, v: Float32Array, B: number): number {
  kernels.columnSums(at(v), at(sums), B, D);
  const total = kernels.squaredSum(at(v), B, D);
  return total - sums.reduce((a, s) => a + s * s, 0) / B;
}
