/**
 * One training step, the same program on every rank (each has its own latents, all have the whole batch).
 *
 *   x    = s * raw                                       s from initialisation
 *   pre  = (x - b_dec) W_enc^T + b_enc                   the only dense product, in row tiles
 *   z    = ReLU(TopK(pre)),  e = x - b_dec - z W_dec     global top K; partial reconstructions summed in a fixed tree
 *   L    = mseScale mean(e^2) + alpha L_aux              mean over B and D
 *   G    = dL/dW_dec - (dL/dW_dec . w) w                 then Adam, then W_dec rows back to unit norm
 *
 * Gao et al. 2024, sec. 2.3 and appendix A; papers' released code for the order of things. "Fired" is z > 0 (their code: 1e-3).
 */
import { pointer as at } from '../kernels/arena.ts';
import type { Product } from '../sae/product.ts';
import { rowTile } from '../sae/product.ts';
import { type Competitors, listCompetitors, listLearning, selectAux } from './auxk.ts';
import type { Comm } from './comm/types.ts';
import type { Group } from './group.ts';
import { learningRate } from './schedule.ts';
import type { StepMetrics, TrainerConfig } from './types.ts';

/** Numbers fixed by initialisation. */
export type Scales = { readonly inputScale: number; readonly mseScale: number };

/** `finite` is false when the loss was not; nothing was changed then. */
export type StepResult = StepMetrics & { readonly finite: boolean };

/** Runs step number `step` (from 0) on raw rows [B,D]. */
export async function trainStep(
  group: Group,
  comm: Comm,
  product: Product,
  config: TrainerConfig,
  scales: Scales,
  step: number,
  raw: Float32Array,
): Promise<StepResult> {
  const { kernels, D, own } = group;
  const { B } = config;
  loadBatch(group, config, scales.inputScale, raw);
  const variance = centredSquares(group, group.x, B);
  const competitors = config.auxk > 0 ? listCompetitors(group, config, step) : undefined;
  await selectMain(group, comm, product, config, competitors);

  // biome-ignore format: grouped as in the kernel
  kernels.decodeRows(
    at(group.rowStart), at(group.rowLatent), at(group.rowValue), at(group.weights.W_dec), at(group.leaves),
    at(group.partial), B, own, D,
  );
  comm.allReduceSum('partial', group.partial, group.partial);
  kernels.rowError(at(group.x), at(group.partial), at(group.error), at(group.squared), B, D);
  const squaredError = sum(group.squared);
  const reconstruction = (scales.mseScale * squaredError) / (B * config.D);

  let auxLoss = 0;
  let auxG = 0;
  const finite = Number.isFinite(reconstruction);
  const hasAux = finite && competitors !== undefined && selectAux(group, comm, config, competitors) > 0;
  if (hasAux) {
    const scale = centredSquares(group, group.error, B);
    // biome-ignore format: grouped as in the kernel
    kernels.decodeRows(
      at(group.auxRowStart), at(group.auxRowLatent), at(group.auxRowValue), at(group.weights.W_dec),
      at(group.leaves), at(group.partial), B, own, D,
    );
    comm.allReduceSum('partial', group.partial, group.partial);
    kernels.rowError(at(group.error), at(group.partial), at(group.auxError), at(group.squared), B, D);
    // 0 / 0 when there is nothing left to explain: no loss, no gradient.
    auxLoss = scale > 0 ? sum(group.squared) / scale : 0;
    auxG = scale > 0 ? (2 * config.auxkCoefficient) / scale : 0;
  }

  const counts = new Int32Array(2 * comm.size);
  if (finite) {
    update(
      group,
      comm,
      config,
      (2 * scales.mseScale) / (B * config.D),
      auxG,
      step,
      hasAux ? competitors : undefined,
    );
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
    l0: active / B,
    auxLoss,
    dead,
    lr: learningRate(step, config),
  };
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

/** Pre-activations tile by tile, the heaps, and the global top K; leaves the winners by row and by latent. */
async function selectMain(
  group: Group,
  comm: Comm,
  product: Product,
  config: TrainerConfig,
  competitors: Competitors | undefined,
): Promise<void> {
  const { kernels, D, own, shardLatents, auxColumns, weights } = group;
  const { B, K } = config;
  const mine = group.heapValues.subarray(group.rank * B * K, (group.rank + 1) * B * K);
  mine.fill(0);
  group.heapLatent.fill(0);
  for (let s = 0; s < own; s++) {
    const W = weights.W_enc.subarray(s * shardLatents * D, (s + 1) * shardLatents * D);
    const b_enc = weights.b_enc.subarray(s * shardLatents, (s + 1) * shardLatents);
    const columns = competitors?.columns[s] ?? 0;
    for (let row = 0; row < B; row += rowTile) {
      const rows = Math.min(rowTile, B - row);
      const pre = group.pre.subarray(0, rows * shardLatents);
      await product.run(group.x.subarray(row * D, (row + rows) * D), W, b_enc, pre, D);
      const [values, latents] = [at(mine) + row * K * 4, at(group.heapLatent) + row * K * 4];
      kernels.selectTile(at(pre), rows, shardLatents, s * shardLatents, values, latents, K);
      if (columns > 0) {
        const out = at(group.auxPre) + (s * B * auxColumns + row * columns) * 4;
        // biome-ignore format: grouped as in the kernel
        kernels.gatherColumns(
          at(pre), rows, shardLatents, at(group.auxColumn) + s * auxColumns * 4, columns, out,
        );
      }
    }
  }
  kernels.sortHeaps(at(mine), at(group.heapLatent), B, K);
  comm.allGather('heapValues', mine, group.heapValues);
  // biome-ignore format: grouped as in the kernel
  kernels.mergeTopK(
    at(group.heapValues), comm.size, B, K, group.rank, at(group.heapLatent), own, shardLatents, at(group.heads),
    at(group.rowStart), at(group.rowLatent), at(group.rowValue),
  );
  // biome-ignore format: grouped as in the kernel
  kernels.transposeEntries(
    at(group.rowStart), at(group.rowLatent), at(group.rowValue), B, own, group.F, at(group.latentStart),
    at(group.cursor), at(group.latentRow), at(group.latentValue),
  );
}

/**
 * Gradients and Adam for every own latent and for b_dec. g, auxG: dL/dxhat = -g e, and -auxG (e - xhat_aux) for AuxK.
 * competitors are given when there is an AuxK loss.
 */
function update(
  group: Group,
  comm: Comm,
  config: TrainerConfig,
  g: number,
  auxG: number,
  step: number,
  competitors: Competitors | undefined,
): void {
  const { kernels, D, own, shardLatents, weights: w, sums } = group;
  const { beta1, beta2, eps } = config.adam;
  const lr = learningRate(step, config);
  const stepSize = lr / (1 - beta1 ** (step + 1));
  const secondScale = 1 / Math.sqrt(1 - beta2 ** (step + 1));
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
    );
  }

  const shards = new Float32Array(config.shards * D);
  comm.allGather('biasGradients', group.biasGradients, shards);
  for (let stride = 1; stride < config.shards; stride *= 2)
    for (let s = 0; s + stride < config.shards; s += 2 * stride)
      for (let d = 0; d < D; d++) shards[s * D + d]! += shards[(s + stride) * D + d]!;
  const gradient = shards.subarray(0, D);
  kernels.columnSums(at(group.error), at(sums), config.B, D);
  for (let d = 0; d < D; d++) gradient[d]! -= g * sums[d]!;
  if (auxG > 0) {
    kernels.columnSums(at(group.auxError), at(sums), config.B, D);
    for (let d = 0; d < D; d++) gradient[d]! -= auxG * sums[d]!;
  }
  const { b_dec, mBDec: m, vBDec: v } = group;
  for (let d = 0; d < D; d++) {
    const gd = gradient[d]!;
    m[d] = beta1 * m[d]! + (1 - beta1) * gd;
    v[d] = beta2 * v[d]! + (1 - beta2) * gd * gd;
    b_dec[d]! -= (stepSize * m[d]!) / (Math.sqrt(v[d]!) * secondScale + eps);
  }
}

/** Dead counters, after the step is certain to count. */
function countFirings({ latentStart, sinceFired, fired, F }: Group): void {
  for (let i = 0; i < F; i++) {
    const rows = latentStart[i + 1]! - latentStart[i]!;
    fired[i]! += rows;
    sinceFired[i] = rows > 0 ? 0 : sinceFired[i]! + 1;
  }
}

const sum = (v: Float64Array) => v.reduce((a, b) => a + b, 0);
