/**
 * AuxK (Gao et al. 2024, appendix A.2): dead latents reconstruct what the live ones leave.
 *
 *   z_aux = ReLU(TopK_{k_aux}(pre over dead latents)),   L_aux = mean (z_aux W_dec - e)^2 / mean (e - mean_b e)^2
 *
 * The k_aux largest are found exactly over the dead latents of all ranks, by bisection (see kernels/assembly/select.ts).
 */
import { pointer as at } from '../kernels/arena.ts';
import type { Comm } from './comm/types.ts';
import type { Group } from './group.ts';
import type { TrainerConfig } from './types.ts';

/** A threshold that tells countAbove to skip the row. */
const decided = 0x7fffffff;

/** The dead latents of each own shard that compete in this step. */
export type Competitors = { readonly columns: readonly number[] };

/**
 * Before the product: lists the latents that will be dead unless they fire in this step. More than fit take turns, by step.
 * Departure from the paper, which lets all dead latents compete: it bounds the work when nearly everything is dead.
 */
export function listCompetitors(group: Group, config: TrainerConfig, step: number): Competitors {
  const { own, shardLatents, auxColumns } = group;
  const columns: number[] = [];
  for (let s = 0; s < own; s++) {
    const dead: number[] = [];
    for (let i = 0; i < shardLatents; i++)
      if (group.sinceFired[s * shardLatents + i]! + 1 >= config.deadSteps) dead.push(i);
    const turns = Math.ceil(dead.length / auxColumns);
    const first = turns > 1 ? (step % turns) * auxColumns : 0;
    const chosen = dead.slice(first, first + auxColumns);
    const padded = Math.ceil(chosen.length / 4) * 4;
    for (let c = 0; c < padded; c++) {
      const column = chosen[c] ?? 0;
      group.auxColumn[s * auxColumns + c] = column;
      group.auxLatent[s * auxColumns + c] = s * shardLatents + column;
      group.auxHidden[s * auxColumns + c] = c < chosen.length ? 0 : -1;
    }
    columns.push(padded);
  }
  return { columns };
}

/**
 * After the main selection: fills the AuxK entries by row and by latent.
 * Returns the number of dead latents that competed, over all ranks; 0 means that there is no AuxK loss in this step.
 */
export function selectAux(group: Group, comm: Comm, config: TrainerConfig, { columns }: Competitors): number {
  const { kernels, own, auxColumns, auxCount, auxThreshold } = group;
  const { B } = config;
  let competing = 0;
  for (let s = 0; s < own; s++)
    for (let c = s * auxColumns; c < s * auxColumns + columns[s]!; c++) {
      const latent = group.auxLatent[c]!;
      if (group.firedNow[latent]! > 0) group.auxHidden[c] = -1;
      if (group.auxHidden[c] === 0) competing++;
    }
  const total = sumOverRanks(comm, 'auxCompeting', competing);
  if (total === 0) return 0;
  const k = Math.min(config.auxk, total);

  const shards = columns.map((n, s) => ({
    n,
    pre: at(group.auxPre) + s * B * auxColumns * 4,
    from: s * auxColumns,
  }));
  auxCount.fill(0);
  auxThreshold.fill(0);
  for (const { n, pre, from } of shards)
    kernels.auxPrepare(pre, at(group.auxHidden) + from * 4, B, n, at(auxCount), at(auxThreshold));
  const room = bisect(group, comm, B, k, () => {
    for (const { n, pre } of shards) kernels.countAbove(pre, at(auxThreshold), B, n, at(auxCount));
  });

  let entries = 0;
  group.auxRowStart[0] = 0;
  for (let b = 0; b < B; b++) {
    group.auxRoom[0] = room[b]!;
    for (const [s, { n, pre, from }] of shards.entries()) {
      // biome-ignore format: grouped as in the kernel
      entries = kernels.auxCollect(
        pre + b * n * 4, n, auxThreshold[b]!, at(group.auxRoom), at(group.auxLatent) + from * 4,
        at(group.auxRowLatent), at(group.auxRowValue), entries,
      );
      group.auxRowStart[b * own + s + 1] = entries;
    }
  }
  // Of signed codes the largest magnitudes were taken, as they stand in the tiles.
  if (config.signed) kernels.unfoldSign(at(group.auxRowValue), entries);
  // biome-ignore format: grouped as in the kernel
  kernels.transposeEntries(
    at(group.auxRowStart), at(group.auxRowLatent), at(group.auxRowValue), B, own, group.F,
    at(group.auxLatentStart), at(group.cursor), at(group.auxLatentRow), at(group.auxLatentValue),
  );
  return total;
}

/** Lists the dead latents of own shard s that learn from AuxK in this step, and gives each its place. Returns how many. */
export function listLearning(group: Group, s: number, { columns }: Competitors): number {
  const from = s * group.auxColumns;
  let n = 0;
  for (let c = from; c < from + columns[s]!; c++) {
    if (group.auxHidden[c] !== 0) continue;
    const latent = group.auxLatent[c]!;
    group.auxLearning[n++] = latent;
    group.auxIndex[latent] = n;
  }
  return n;
}

/**
 * Leaves in auxThreshold, per row, bits t such that {v > t} and the first `room` of {v = t} are the k largest positive
 * values over all ranks. Returns this rank's room. Invariant: count(v > low) > k >= count(v > high).
 *
 * The counts fall off roughly exponentially, so the next threshold is where a straight line through their logarithms
 * meets k; every third round halves the interval of bits instead, which bounds the rounds.
 */
function bisect(group: Group, comm: Comm, B: number, k: number, countOwn: () => void): Int32Array {
  const { auxCount, auxThreshold } = group;
  const low = new Int32Array(B);
  const high = new Int32Array(B);
  const [lowValue, highValue] = [new Float32Array(low.buffer), new Float32Array(high.buffer)];
  const lowCount = new Int32Array(B);
  const highCount = new Int32Array(B);
  const next = new Float32Array(auxThreshold.buffer, auxThreshold.byteOffset, B);
  const everyone = new Int32Array(comm.size * B);
  const sums = new Int32Array(B);
  const count = () => {
    comm.allGather('auxCount', auxCount, everyone);
    sums.fill(0);
    for (let r = 0; r < comm.size; r++) for (let b = 0; b < B; b++) sums[b]! += everyone[r * B + b]!;
  };
  comm.allGather('auxCount', auxThreshold, everyone);
  for (let r = 0; r < comm.size; r++)
    for (let b = 0; b < B; b++) high[b] = Math.max(high[b]!, everyone[r * B + b]!);
  count();
  lowCount.set(sums);
  let open = 0;
  for (let b = 0; b < B; b++) {
    if (sums[b]! <= k)
      high[b] = 0; // every positive value is in
    else open++;
  }
  for (let round = 0; open > 0; round++) {
    for (let b = 0; b < B; b++) {
      if (high[b]! - low[b]! <= 1) {
        auxThreshold[b] = decided;
        continue;
      }
      auxThreshold[b] = low[b]! + ((high[b]! - low[b]!) >> 1);
      if (round % 3 === 2) continue;
      const fall = Math.log(lowCount[b]! / Math.max(0.5, highCount[b]!));
      const guess = lowValue[b]! + ((highValue[b]! - lowValue[b]!) * Math.log(lowCount[b]! / k)) / fall;
      if (guess > lowValue[b]! && guess < highValue[b]!) next[b] = guess;
      if (auxThreshold[b]! <= low[b]!) auxThreshold[b] = low[b]! + 1;
      if (auxThreshold[b]! >= high[b]!) auxThreshold[b] = high[b]! - 1;
    }
    auxCount.fill(0);
    countOwn();
    count();
    open = 0;
    for (let b = 0; b < B; b++) {
      if (high[b]! - low[b]! <= 1) continue;
      const middle = auxThreshold[b]!;
      if (sums[b]! > k) {
        low[b] = middle;
        lowCount[b] = sums[b]!;
      } else {
        high[b] = middle;
        highCount[b] = sums[b]!;
        if (sums[b] === k) low[b] = middle; // the k largest are apart from the rest: this row is done
      }
      if (high[b]! - low[b]! > 1) open++;
    }
  }
  auxThreshold.set(high);
  return roomForEquals(group, comm, B, k, countOwn);
}

/** Of the values equal to the threshold, how many this rank may take: lower ranks hold the lower latents and go first. */
function roomForEquals(group: Group, comm: Comm, B: number, k: number, countOwn: () => void): Int32Array {
  const { auxCount, auxThreshold } = group;
  const countByRank = (): Int32Array => {
    auxCount.fill(0);
    countOwn();
    const everyone = new Int32Array(comm.size * B);
    comm.allGather('auxCount', auxCount, everyone);
    return everyone;
  };
  const room = new Int32Array(B);
  const above = countByRank();
  for (let b = 0; b < B; b++) {
    if (auxThreshold[b] === 0) continue;
    room[b] = k;
    for (let r = 0; r < comm.size; r++) room[b]! -= above[r * B + b]!;
  }
  if (room.every((n) => n === 0)) return room;
  for (let b = 0; b < B; b++) auxThreshold[b]!--;
  const atLeast = countByRank();
  for (let b = 0; b < B; b++) {
    auxThreshold[b]!++;
    for (let r = 0; r < comm.rank; r++) room[b]! -= atLeast[r * B + b]! - above[r * B + b]!;
    room[b] = Math.max(0, room[b]!);
  }
  return room;
}

function sumOverRanks(comm: Comm, slot: string, mine: number): number {
  const all = new Int32Array(comm.size);
  comm.allGather(slot, Int32Array.of(mine), all);
  return all.reduce((a, b) => a + b, 0);
}
