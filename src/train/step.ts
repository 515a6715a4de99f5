/**
 * One training step, the same program on every rank (each has its own latents, all have the whole batch).
 *
 *   x    = s * raw                                       s from initialisation
 *   pre  = (x - b_dec) W_enc^T + b_enc                   the only dense product, in row tiles
 *   z    = ReLU(TopK(pre)),  e = x - b_dec - z W_dec     global top K; partial reconstructions summed in a fixed tree
 *   L    = mseScale mean(e^2) + alpha L_aux              mean over B and D
 *          + mseScale mean(e_4K^2) / 8                   with Multi-TopK: e_4K as e, with 4K active latents
 *   G    = dL/dW_dec - (dL/dW_dec . w) w                 then Adam, then W_dec rows back to unit norm
 *
 * Gao et al. 2024, sec. 2.3 and appendix A; papers' released code for the order of things. "Fired" is z > 0 (their code: 1e-3).
 */
import { pointer as at } from '../kernels/arena.ts';
import type { Product } from '../sae/product.ts';
import { listCompetitors, selectAux } from './auxk.ts';
import type { Comm } from './comm/types.ts';
import { auxBlock, type Group, multiTopkWeight } from './group.ts';
import { learningRate } from './schedule.ts';
import { selectMain } from './select.ts';
import type { StepMetrics, TrainerConfig } from './types.ts';
import { average, countFirings, update } from './update.ts';

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
  const { kernels, D, own } = group;
  const { B } = config;
  loadBatch(group, config, scales.inputScale, raw);
  const variance = centredSquares(group, group.x, B);
  const competitors = config.auxk > 0 ? listCompetitors(group, config, step) : undefined;
  await selectMain(context, competitors);

  // biome-ignore format: grouped as in the kernel
  kernels.decodeRows(
    at(group.rowStart), at(group.rowLatent), at(group.rowValue), at(group.weights.W_dec), at(group.leaves),
    at(group.partial), B, own, D, 1,
  );
  comm.allReduceSum('partial', group.partial, group.partial);
  kernels.rowError(at(group.x), at(group.partial), at(group.error), at(group.squared), B, D);
  const squaredError = sum(group.squared);
  const toLoss = scales.mseScale / (B * config.D);
  const wideError = config.multiTopk ? decodeWide(context) : 0;
  const reconstruction = toLoss * (squaredError + multiTopkWeight * wideError);

  let auxLoss = 0;
  let auxG = 0;
  const finite = Number.isFinite(reconstruction);
  const hasAux = finite && competitors !== undefined && selectAux(group, comm, config, competitors) > 0;
  if (hasAux) {
    const scale = centredSquares(group, group.error, B);
    // biome-ignore format: grouped as in the kernel
    kernels.decodeRows(
      at(group.auxRowStart), at(group.auxRowLatent), at(group.auxRowValue), at(group.weights.W_dec),
      at(group.leaves), at(group.partial), B, own, D, auxBlock,
    );
    comm.allReduceSum('partial', group.partial, group.partial);
    kernels.rowError(at(group.error), at(group.partial), at(group.auxError), at(group.squared), B, D);
    // 0 / 0 when there is nothing left to explain: no loss, no gradient.
    auxLoss = scale > 0 ? sum(group.squared) / scale : 0;
    auxG = scale > 0 ? (2 * config.auxkCoefficient) / scale : 0;
  }

  const counts = new Int32Array(2 * comm.size);
  if (finite) {
    update(context, { g: 2 * toLoss, auxG, step, competitors: hasAux ? competitors : undefined });
    if (config.ema) average(group, Math.fround(config.ema));
    countFirings(group);
  }
  let dead = 0;
  for (const since of group.sinceFired) if (since >= config.deadSteps) dead++;
  comm.allGather('counts', Int32Array.of(group.rowStart[B * own]!, dead), counts);
  let active = 0;
  dead = 0;
  for (let r = 0; r < comm.size; r++) {
    active += counts[2 * r]!;
    dead += counts[2 * r + 1]!;
  }
  return {
    finite,
    step: step + 1,
    tokens: (step + 1) * B,
    loss: reconstruction + config.auxkCoefficient * auxLoss,
    fvu: squaredError / variance,
    ...(config.multiTopk ? { multiTopkFvu: wideError / variance } : {}),
    l0: active / B,
    auxLoss,
    dead,
    lr: learningRate(step, config),
  };
}

/** Multi-TopK: leaves e_4K = x - z_4K W_dec in wideError; returns sum |e_4K|^2. */
function decodeWide({ group, comm, config: { B } }: StepContext): number {
  const { kernels, D, own } = group;
  // biome-ignore format: grouped as in the kernel
  kernels.decodeRows(
    at(group.wideRowStart), at(group.wideRowLatent), at(group.wideRowValue), at(group.weights.W_dec), at(group.leaves),
    at(group.partial), B, own, D, 1,
  );
  comm.allReduceSum('partial', group.partial, group.partial);
  kernels.rowError(at(group.x), at(group.partial), at(group.wideError), at(group.squared), B, D);
  return sum(group.squared);
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

const sum = (v: Float64Array) => v.reduce((a, b) => a + b, 0);
