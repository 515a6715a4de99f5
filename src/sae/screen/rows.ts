/**
 * One lane of screening: rows x [rows,D] -> their codes, from the int8 products to the float32 values. Its own memory holds the products and
 * the lists of candidates; what is computed in float32 lies in its region of the memory of W_enc.
 */
import { pointer as at, createArena, openArena } from '../../kernels/arena.ts';
import { createKernels } from '../../kernels/kernels.ts';
import { normaliseRows } from '../normalise.ts';
import { latentTile } from '../product.ts';
import { joinTiles } from '../select.ts';
import type { SparseCode } from '../types.ts';
import type { RankOrThreshold } from '../variants/variant.ts';
import type { Int8Product } from './int8-product.ts';
import { boundsOf, type Latents, openRegion, regionBytes, rowTile, slack } from './latents.ts';

export type ScreenedRows = {
  readonly code: SparseCode;
  /** Rows that screening could not settle; what `code` says of them is wrong. */
  readonly open: readonly number[];
  /** Latents that were computed in float32. */
  readonly candidates: number;
};

/** Encodes at most `rowTile` rows x [rows,D]. One call after the other. */
export type Lane = (x: Float32Array) => Promise<ScreenedRows>;

export function openLane(
  latents: Latents,
  tiles: readonly Int8Array[],
  lane: number,
  product: Int8Product,
): Lane {
  const { D, P, F, K, padded, capacity, selection, inputNorm, centre } = latents;
  const beside = openRegion(
    openArena(latents.memory, latents.regions + lane * regionBytes(latents)),
    latents,
  );
  const exact = createKernels(latents.memory);

  const arena = createArena(
    4 * (4 * padded + latents.groups.length) + rowTile * (4 * latentTile + 20 * capacity + 32) + 4096,
  );
  const kernels = createKernels(arena.memory);
  const own = (values: Float32Array): number => {
    const view = arena.f32(values.length);
    view.set(values);
    return at(view);
  };
  const [scale, norm, error, offset] = [latents.scale, latents.norm, latents.error, latents.offset].map(
    own,
  ) as [number, number, number, number];
  const groups = own(latents.groups);
  const row = {
    scale: arena.f32(rowTile),
    a: arena.f32(rowTile),
    c: arena.f32(rowTile),
    margin: arena.f32(rowTile),
    limit: arena.f32(rowTile),
  };
  const out = arena.i32(rowTile * latentTile);
  /** Lengths at which lists are thinned out. */
  const due = arena.i32(rowTile);
  const counts = arena.i32(rowTile);
  const list = {
    latents: arena.i32(rowTile * capacity),
    uppers: arena.f32(rowTile * capacity),
    estimates: arena.f32(rowTile * capacity),
  };
  const kept = {
    rowStart: arena.i32(rowTile + 1),
    latents: arena.i32(rowTile * capacity),
    numbers: arena.i32(rowTile * capacity),
  };
  const scratch = arena.f32(12);
  /** The engine reads no shared memory. */
  const q = new Uint8Array(rowTile * P);
  // The K-th largest estimate is off by what errors are, not by what they could be.
  const share = Math.min(1, 2 / Math.sqrt(D));

  function quantise(x: Float32Array): void {
    const rows = x.length / D;
    if (P === D) normaliseRows(inputNorm, x, D, centre, beside.x);
    else
      for (let r = 0; r < rows; r++)
        normaliseRows(inputNorm, x.subarray(r * D, (r + 1) * D), D, centre, beside.x.subarray(r * P));
    // biome-ignore format: grouped as in the kernel
    exact.quantiseRows(at(beside.x), rows, P, 127, at(beside.q), at(beside.scale), at(beside.squares), at(beside.errors));
    q.set(beside.q.subarray(0, rows * P));
    row.scale.set(beside.scale.subarray(0, rows));
    for (let r = 0; r < rows; r++) {
      const [length, rest] = boundsOf(beside.squares[r]!, beside.errors[r]!, P);
      // The sum in float32 of P products and a bias, in any order, is off by less than P 2^-24 |x| |w|.
      row.a[r] = (rest + length * (P * 2 ** -23 + slack)) * (1 + slack);
      row.c[r] = (length + rest) * (1 + slack);
      row.margin[r] = K > 0 ? share * (row.a[r]! * latents.meanNorm + row.c[r]! * latents.meanError) : 0;
      row.limit[r] = -row.margin[r]!;
      counts[r] = Number.isFinite(length) ? 0 : capacity + 1;
    }
  }

  /** Values of the n candidates that `kept` names, in float32, one latent after the other. */
  function compute(rows: number, n: number): void {
    beside.rowStart.set(kept.rowStart.subarray(0, rows + 1));
    beside.latents.set(kept.latents.subarray(0, n));
    beside.numbers.set(kept.numbers.subarray(0, n));
    // biome-ignore format: grouped as in the kernel
    exact.transposeEntries(
      at(beside.rowStart), at(beside.latents), at(beside.numbers), rows, 1, F,
      at(beside.latentStart), at(beside.cursor), at(beside.rowsByLatent), at(beside.numbersByLatent),
    );
    // biome-ignore format: grouped as in the kernel
    exact.rescore(
      at(beside.latentStart), at(beside.rowsByLatent), at(beside.numbersByLatent), F, at(beside.x), latents.W, P, latents.bias, at(beside.values),
    );
  }

  function best(rows: number): SparseCode {
    const { bestValues, bestLatents } = beside;
    bestValues.fill(0);
    bestLatents.fill(0);
    // biome-ignore format: grouped as in the kernel
    exact.keepBest(at(beside.rowStart), at(beside.latents), at(beside.values), rows, at(bestValues), at(bestLatents), K);
    for (let r = 0; r < rows; r++) if (!(bestValues[r * K]! >= row.limit[r]!)) counts[r] = capacity + 1;
    exact.sortHeaps(at(bestValues), at(bestLatents), rows, K, at(beside.keys));
    return { B: rows, K, values: bestValues.slice(0, rows * K), indices: bestLatents.slice(0, rows * K) };
  }

  function above(
    rows: number,
    { threshold, scale, shift }: RankOrThreshold & { by: 'threshold' },
  ): SparseCode {
    const rowStart = new Uint32Array(rows + 1);
    const { latents, values } = beside;
    let n = 0;
    for (let r = 0; r < rows; r++) {
      for (let j = beside.rowStart[r]!; j < beside.rowStart[r + 1]!; j++) {
        const i = latents[j]!;
        const pre = values[j]!;
        const value = scale ? Math.fround(Math.fround(scale[i]! * pre) + shift![i]!) : pre;
        if (!(pre > threshold[i]! && value > 0)) continue;
        latents[n] = i;
        values[n++] = value;
      }
      rowStart[r + 1] = n;
    }
    return joinTiles([{ rowStart, latents, values }], rows);
  }

  return async (x) => {
    const rows = x.length / D;
    quantise(x);
    due.fill(K > 0 ? Math.min(capacity, 4 * K) : capacity);
    for (const [t, tile] of tiles.entries()) {
      const [first, width] = [t * latentTile, tile.length / P];
      await product.run(q.subarray(0, rows * P), tile, out.subarray(0, rows * width), P);
      // biome-ignore format: grouped as in the kernel
      kernels.screenTile(
        at(out), rows, width, first, scale + 4 * first, norm + 4 * first, error + 4 * first, offset + 4 * first, groups + first / 4, 4 * latents.stride,
        at(row.scale), at(row.a), at(row.c), at(row.margin), at(row.limit), K, at(due),
        at(counts), at(list.latents), at(list.uppers), at(list.estimates), capacity, at(scratch),
      );
    }
    // biome-ignore format: grouped as in the kernel
    const candidates = kernels.screenedEntries(
      at(counts), at(row.margin), at(row.limit), K, at(list.latents), at(list.uppers), at(list.estimates), rows, capacity,
      at(kept.rowStart), at(kept.latents), at(kept.numbers),
    );
    compute(rows, candidates);
    const code = selection.by === 'rank' ? best(rows) : above(rows, selection);
    const open = Array.from({ length: rows }, (_, r) => r).filter((r) => counts[r]! > capacity);
    return { code, open, candidates };
  };
}
