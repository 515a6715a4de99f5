/**
 * The step of variants whose latents are active above a threshold: as many entries as there are, in lists of bounded length.
 *
 *   whole     the entries of every shard fit its list: listed once, as TopK's are
 *   chunks    they do not (an SAE that is not sparse yet): 64 rows at a time, listed once for the reconstruction, and once more, shard by
 *             shard, for the gradients, which add up in [shardLatents,2,D]. [B,F] never exists
 *
 * Whether they fit is asked shard by shard, so the answer does not depend on the number of ranks.
 */
import { pointer as at } from '../kernels/arena.ts';
import type { Competitors } from './auxk.ts';
import { chunkRows, momentsOf } from './constants.ts';
import { coefficientAt, holdL0, powerAt } from './control.ts';
import { byLatent } from './lists.ts';
import { residual, total } from './reconstruct.ts';
import type { StepContext } from './step.ts';
import { eachOwnTile, eachTile, ownShards } from './tiles.ts';
import { accumulateAux, adamScales, updateBias, updateShard } from './update.ts';
import type { BackwardInput, Forward, StepInput } from './variants/types.ts';

/** What differs between them. */
export type Above = {
  /** Of kernels/assembly/through.ts. */
  readonly kind: 0 | 1 | 2;
  /** theta [F], and where the gradient of `theta` reaches latents below it, the width of that band; undefined: theta = 0. */
  readonly threshold?: { readonly parameter: string; readonly band: number };
  /** Gated: names of r and b_mag. */
  readonly gate?: { readonly scale: string; readonly bias: string };
  /** The penalty counts active latents, it does not add their values up. */
  readonly counts?: boolean;
  /** Parameters in the order of their sums in through.ts. */
  readonly scalars: readonly string[];
};

type Chunk = { readonly from: number; readonly to: number };

/** Leaves e in `error`, of Gated also that of the gate. */
export async function forwardAbove(
  context: StepContext,
  { toLoss, step, competitors }: StepInput,
  above: Above,
): Promise<Forward> {
  const { group, config } = context;
  const { kernels, own } = group;
  const { B } = config;
  const power = powerAt(config, step);
  prepare(context, above);
  const sums = { excess: new Float64Array(own), power: new Float64Array(own) };
  const counts = await list(context, { from: 0, to: B }, ownShards(own), { competitors });
  group.whole = fitEverywhere(context, counts);
  for (const { from, to } of chunksOf(context)) {
    const listed = group.whole ? counts : await list(context, { from, to }, ownShards(own), { again: true });
    addSums(context, listed, power, sums);
    orderByRow(context, to - from, 0, own);
    if (above.gate) {
      const n = group.rowStart[(to - from) * own]!;
      // biome-ignore format: grouped as in the kernel
      kernels.gatedMagnitudes(
        at(group.rowLatent), at(group.rowValue), n, at(group.gateScale), at(group.weights.b_enc),
        at(group.weights[above.gate.bias]!), at(group.magnitude),
      );
      decode(context, group.magnitude, group.partial, from, to);
      decode(context, group.rowValue, group.gateError, from, to);
    } else decode(context, group.rowValue, group.partial, from, to);
  }
  if (group.whole) byLatent(group, B, own);

  const gateError = above.gate ? residual(context, group.gateError, group.gateError) : 0;
  const squaredError = residual(context, group.partial, group.error);
  const excess = sumOverShards(context, sums.excess);
  const active = sumOverShards(context, countsOf(context));
  const penalty =
    toLoss *
    coefficientAt(group, config, step) *
    (above.counts ? active : sumOverShards(context, sums.power));
  return { squaredError, loss: toLoss * (squaredError + gateError) + penalty, penalty, excess };
}

/** Gradients, Adam, and the controller's hand on the thresholds. */
export async function backwardAbove(context: StepContext, input: BackwardInput, above: Above): Promise<void> {
  const { group, config } = context;
  const { kernels, D, own, shardLatents, auxColumns, weights } = group;
  const { toLoss, step, forward } = input;
  const g = 2 * toLoss;
  const c = toLoss * coefficientAt(group, config, step);
  const places = auxColumns * 2 * D * 4;
  const gradients = group.auxGradients.subarray(auxColumns * 2 * D);
  const { stepSize, secondScale } = adamScales(config, step);
  const { beta1, beta2, eps } = config.adam;
  const balance = { gradient: new Float64Array(own), weight: new Float64Array(own) };
  group.biasGradients.fill(0);
  for (let s = 0; s < own; s++) {
    const [start, end] = [s * shardLatents, (s + 1) * shardLatents];
    for (let i = start; i < end; i++) group.auxIndex[i] = 1 + auxColumns + i - start;
    accumulateAux(context, s, { ...input, g });
    gradients.fill(0);
    group.scalarSums.fill(0);
    for (const { from, to } of chunksOf(context)) {
      if (!group.whole) {
        await list(context, { from, to }, [s], { again: true });
        orderByRow(context, to - from, s, 1);
        byLatent(group, to - from, 1);
      }
      const rows = from * D * 4;
      // biome-ignore format: grouped as in the kernel
      kernels.accumulateThrough(
        above.kind, start, end, D, at(group.x) + rows, g, at(group.error) + rows, at(group.gateError) + rows,
        at(group.latentStart), at(group.latentRow), at(group.latentValue), at(weights.W_dec),
        at(group.auxGradients) + places, at(group.scalarSums),
        c, powerAt(config, step), above.threshold?.band ?? 0, at(group.theta), at(group.gateScale), at(weights.b_enc),
        above.gate ? at(weights[above.gate.bias]!) : 0,
      );
    }
    group.auxSums.set(group.scalarSums.subarray(0, shardLatents), auxColumns);
    if (above.gate) group.biasSums.set(group.scalarSums.subarray(shardLatents, 2 * shardLatents), auxColumns);
    updateShard(context, s, { ...input, g }, [{ start, end, error: at(group.error) }]);
    balance.gradient[s] = total(group.scalarSums.subarray(4 * shardLatents, 5 * shardLatents));
    balance.weight[s] = total(group.scalarSums.subarray(5 * shardLatents));
    if (config.freeze === 'encoder') continue;
    for (const [n, name] of above.scalars.entries()) {
      const first = above.gate ? n + 2 : n + 1;
      const [m, v] = momentsOf(name).map((moment) => weights[moment]!);
      // biome-ignore format: grouped as in the kernel
      kernels.adamVector(
        at(weights[name]!) + start * 4, at(m!) + start * 4, at(v!) + start * 4,
        at(group.scalarSums) + first * shardLatents * 4, shardLatents, stepSize, secondScale, beta1, beta2, eps,
      );
    }
  }
  updateBias(context, { ...input, g }, at(group.error));
  const shift = holdL0(group, config, step, {
    active: sumOverShards(context, countsOf(context)),
    excess: forward.excess ?? 0,
    // The lambda with which loss and penalty would pull thresholds equally hard.
    balance: -sumOverShards(context, balance.gradient) / (toLoss * sumOverShards(context, balance.weight)),
  });
  raise(context, above, shift);
}

/** Thresholds rise by `shift`: theta itself, or the bias falls. They stay at least 0. */
function raise({ group, config }: StepContext, { threshold }: Above, shift: number): void {
  const { b_enc } = group.weights;
  if (threshold) {
    const theta = group.weights[threshold.parameter]!;
    for (let i = 0; i < theta.length; i++) theta[i] = Math.max(0, theta[i]! + shift);
  } else if (config.sparsity?.l0) for (let i = 0; i < b_enc.length; i++) b_enc[i]! -= shift;
}

function prepare({ group }: StepContext, { threshold, gate }: Above): void {
  if (threshold) {
    group.theta.set(group.weights[threshold.parameter]!);
    for (let i = 0; i < group.F; i++) group.limit[i] = group.theta[i]! - threshold.band / 2;
  }
  if (gate) for (let i = 0; i < group.F; i++) group.gateScale[i] = Math.exp(group.weights[gate.scale]![i]!);
  group.firedNow.fill(0);
}

const chunksOf = ({ group, config: { B } }: StepContext): Chunk[] => {
  const size = group.whole ? B : chunkRows;
  return Array.from({ length: Math.ceil(B / size) }, (_, i) => ({
    from: i * size,
    to: Math.min(B, (i + 1) * size),
  }));
};

/**
 * Lists the entries of rows [from, to) of some shards, each in its own stretch of latentRow, latentValue; rows count from 0. Returns how
 * many each shard has, which may be more than fit. The first time in a step firings are counted.
 */
async function list(
  context: StepContext,
  { from, to }: Chunk,
  shards: readonly number[],
  {
    competitors,
    again = false,
  }: { readonly competitors?: Competitors | undefined; readonly again?: boolean },
): Promise<Int32Array> {
  const { group, config } = context;
  const { kernels, shardLatents, capacity, own } = group;
  const places = new Int32Array(own);
  const fired = again ? group.firedAgain : group.firedNow;
  const visit = ({ s, row, rows }: { s: number; row: number; rows: number }): void => {
    const [first, stretch] = [s * shardLatents * 4, s * capacity * 4];
    // biome-ignore format: grouped as in the kernel
    places[s] = kernels.collectAbove(
      at(group.pre), rows, shardLatents, s * shardLatents, at(group.limit) + first, at(group.theta) + first,
      at(fired) + first, at(group.latentRow) + stretch, at(group.latentValue) + stretch, places[s]!, capacity,
      at(group.rowEnd) + (s * (to - from) + row - from) * 4,
    );
  };
  if (from === 0 && to === config.B) await eachOwnTile(context, competitors, visit);
  else await eachTile(context, { shards, from, to }, visit);
  return places;
}

/** The lists of shards [first, first + S) -> rowStart, rowLatent, rowValue of `rows` rows. */
function orderByRow({ group }: StepContext, rows: number, first: number, S: number): void {
  const stretch = first * group.capacity * 4;
  // biome-ignore format: grouped as in the kernel
  group.kernels.orderByRow(
    at(group.latentRow) + stretch, at(group.latentValue) + stretch, at(group.rowEnd) + first * rows * 4, rows, S,
    group.capacity, at(group.rowStart), at(group.rowLatent), at(group.rowValue),
  );
}

/** Rows [from, to) of `out` = this rank's values W_dec. */
function decode({ group }: StepContext, values: Float32Array, out: Float32Array, from: number, to: number) {
  const { kernels, D, own } = group;
  // biome-ignore format: grouped as in the kernel
  kernels.decodeRows(
    at(group.rowStart), at(group.rowLatent), at(values), at(group.weights.W_dec), at(group.leaves),
    at(out) + from * D * 4, to - from, own, D, 1,
  );
}

function fitEverywhere({ group, comm }: StepContext, counts: Int32Array): boolean {
  const all = new Int32Array(comm.size * counts.length);
  comm.allGather('shardCounts', counts, all);
  return all.every((n) => n <= group.capacity);
}

function addSums(
  { group }: StepContext,
  counts: Int32Array,
  power: number,
  sums: { readonly excess: Float64Array; readonly power: Float64Array },
): void {
  const { kernels, capacity } = group;
  for (const [s, n] of counts.entries()) {
    const [latents, values] = [group.latentRow, group.latentValue].map((list) => at(list) + s * capacity * 4);
    sums.excess[s]! += kernels.excess(latents!, values!, n, at(group.theta));
    sums.power[s]! += kernels.powerSum(values!, n, power);
  }
}

/** Active entries of every own shard. */
function countsOf({ group: { firedNow, own, shardLatents } }: StepContext): Float64Array {
  const counts = new Float64Array(own);
  for (const [i, rows] of firedNow.entries()) counts[Math.floor(i / shardLatents)]! += rows;
  return counts;
}

/** The sum over the shards of all ranks, in their order, each rounded to float32 on its way. */
function sumOverShards({ comm }: StepContext, mine: Float64Array): number {
  const all = new Float32Array(comm.size * mine.length);
  comm.allGather('shardSums', Float32Array.from(mine), all);
  return total(all);
}
