/**
 * Tiles of pre-activations [rows,latents] -> the code of the rows, by rank (heaps of the K best), by threshold, or by the best of each group.
 * Signed codes keep two heaps, of pre and of -pre, and the K largest magnitudes of both.
 */
import { type Arena, pointer as at } from '../kernels/arena.ts';
import { type Kernels, keyBytes } from '../kernels/kernels.ts';
import { latentTile, rowTile } from './product.ts';
import type { SparseCode } from './types.ts';
import type { PreSelection } from './variants/variant.ts';

/** What the codes of one call may take. */
const codeLimitBytes = 2 ** 30;

type Select = {
  start(): void;
  /** pre is the address of [rows,width], its first column is latent `first`. */
  tile(pre: number, rows: number, width: number, first: number): void;
  finish(rows: number): SparseCode;
};

export type Selector = { readonly bytes: number; open(arena: Arena, kernels: Kernels): Select };

export function createSelector(selection: PreSelection, F: number): Selector {
  if (selection.by === 'threshold') return thresholdSelector(selection, F);
  if (selection.by === 'group') return groupSelector(selection.K, F / selection.K);
  const { K, signed } = selection;
  const heapBytes = 8 * K * rowTile + keyBytes + 128;
  return {
    bytes: signed ? 2 * heapBytes : heapBytes,
    open: (arena, kernels) => (signed ? signedSelect(arena, kernels, K) : rankSelect(arena, kernels, K)),
  };
}

function rankSelect(arena: Arena, kernels: Kernels, K: number): Select {
  const values = arena.f32(rowTile * K);
  const latents = arena.i32(rowTile * K);
  const keys = at(arena.u8(keyBytes));
  return {
    start() {
      values.fill(0);
      latents.fill(0);
    },
    tile: (pre, rows, width, first) =>
      void kernels.selectTile(pre, rows, width, first, at(values), at(latents), K, keys),
    finish(rows) {
      kernels.sortHeaps(at(values), at(latents), rows, K, keys);
      return { B: rows, K, values: values.slice(0, rows * K), indices: latents.slice(0, rows * K) };
    },
  };
}

/** The largest above 0 of each of K groups of `size` latents. */
function groupSelector(K: number, size: number): Selector {
  return {
    bytes: 0,
    open({ memory }) {
      const values = new Float32Array(rowTile * K);
      const latents = new Int32Array(rowTile * K);
      return {
        start() {
          values.fill(0);
          latents.fill(0);
        },
        tile(pre, rows, width, first) {
          const tile = new Float32Array(memory.buffer, pre, rows * width);
          const end = first + width;
          for (let r = 0, i = 0; r < rows; r++)
            for (let f = first; f < end; ) {
              const group = Math.floor(f / size);
              const slot = r * K + group;
              for (const next = Math.min(end, (group + 1) * size); f < next; f++, i++)
                if (tile[i]! > values[slot]!) {
                  values[slot] = tile[i]!;
                  latents[slot] = f;
                }
            }
        },
        finish(rows) {
          const code = { B: rows, K, values: new Float32Array(rows * K), indices: new Int32Array(rows * K) };
          for (let r = 0; r < rows; r++) {
            const slots = Int32Array.from({ length: K }, (_, k) => r * K + k);
            slots.sort((a, b) => values[b]! - values[a]! || latents[a]! - latents[b]!);
            for (const [k, slot] of slots.entries()) {
              code.values[r * K + k] = values[slot]!;
              code.indices[r * K + k] = latents[slot]!;
            }
          }
          return code;
        },
      };
    },
  };
}

function signedSelect(arena: Arena, kernels: Kernels, K: number): Select {
  const [above, below] = [rankSelect(arena, kernels, K), rankSelect(arena, kernels, K)];
  return {
    start() {
      above.start();
      below.start();
    },
    tile(pre, rows, width, first) {
      above.tile(pre, rows, width, first);
      const tile = new Float32Array(arena.memory.buffer, pre, rows * width);
      for (let j = 0; j < tile.length; j++) tile[j] = -tile[j]!;
      below.tile(pre, rows, width, first);
    },
    finish(rows) {
      const [plus, minus] = [above.finish(rows), below.finish(rows)];
      const code = { B: rows, K, values: new Float32Array(rows * K), indices: new Int32Array(rows * K) };
      for (let b = 0; b < rows; b++) {
        let [p, m] = [b * K, b * K];
        for (let k = b * K; k < (b + 1) * K; k++) {
          const [up, down] = [plus.values[p]!, minus.values[m]!];
          const positive = up > down || (up === down && plus.indices[p]! <= minus.indices[m]!);
          code.values[k] = positive ? up : -down;
          code.indices[k] = positive ? plus.indices[p++]! : minus.indices[m++]!;
        }
      }
      return code;
    },
  };
}

export type Found = {
  readonly rowStart: Uint32Array;
  readonly latents: Int32Array;
  readonly values: Float32Array;
};

function thresholdSelector(selection: PreSelection & { by: 'threshold' }, F: number): Selector {
  const per = [selection.threshold, selection.scale, selection.shift];
  return {
    bytes: 8 * rowTile * latentTile + 4 * (rowTile + 1) + (4 * F + 64) * per.length + 256,
    open(arena, kernels) {
      const [threshold, scale, shift] = per.map((array) => {
        if (!array) return undefined;
        const view = arena.f32(F);
        view.set(array);
        return view;
      });
      const values = arena.f32(rowTile * latentTile);
      const latents = arena.i32(rowTile * latentTile);
      const rowStart = arena.i32(rowTile + 1);
      let found: Found[] = [];
      const from = (array: Float32Array | undefined, first: number): number =>
        array ? at(array) + 4 * first : 0;
      return {
        start() {
          found = [];
        },
        tile(pre, rows, width, first) {
          // biome-ignore format: grouped as in the kernel
          const n = kernels.selectAbove(
            pre, rows, width, first, from(threshold, first), from(scale, first), from(shift, first),
            at(rowStart), at(latents), at(values),
          );
          found.push({
            rowStart: Uint32Array.from(rowStart.subarray(0, rows + 1)),
            latents: latents.slice(0, n),
            values: values.slice(0, n),
          });
        },
        finish: (rows) => joinTiles(found, rows),
      };
    },
  };
}

/** The entries of all latent tiles, row by row, largest first; equal values by latent. */
export function joinTiles(tiles: readonly Found[], rows: number): SparseCode {
  const counts = Array.from({ length: rows }, (_, b) =>
    tiles.reduce((sum, { rowStart }) => sum + rowStart[b + 1]! - rowStart[b]!, 0),
  );
  const K = counts.reduce((most, n) => Math.max(most, n), 1);
  checkSize(rows, K);
  const code = { B: rows, K, values: new Float32Array(rows * K), indices: new Int32Array(rows * K) };
  const bits = new Uint32Array(1);
  const number = new Float32Array(bits.buffer);
  for (let b = 0; b < rows; b++) {
    const n = counts[b]!;
    const latents = new Int32Array(n);
    // Positive floats order like their bits: bits and place make one number of 52 bits, which the engine sorts natively.
    const keys = new Float64Array(n);
    let k = 0;
    for (const tile of tiles)
      for (let j = tile.rowStart[b]!; j < tile.rowStart[b + 1]!; j++) {
        number[0] = tile.values[j]!;
        latents[k] = tile.latents[j]!;
        keys[k] = k - bits[0]! * 2 ** 21;
        k++;
      }
    keys.sort();
    for (k = 0; k < n; k++) {
      bits[0] = Math.ceil(-keys[k]! / 2 ** 21);
      code.values[b * K + k] = number[0]!;
      code.indices[b * K + k] = latents[keys[k]! + bits[0]! * 2 ** 21]!;
    }
  }
  return code;
}

function checkSize(B: number, K: number): void {
  const bytes = 8 * B * K;
  if (bytes > codeLimitBytes)
    throw new RangeError(
      `The codes of ${B} rows take ${(bytes / 2 ** 30).toFixed(1)} GiB: up to ${K} latents of a row are active. Encode fewer rows at a time, or leave out special tokens, where such SAEs fire without end.`,
    );
}

/** Codes of tiles, one after the other, as wide as the widest, and at least `least` wide. */
export function joinCodes(codes: readonly SparseCode[], B: number, least: number): SparseCode {
  if (codes.length === 1 && codes[0]!.K >= least) return codes[0]!;
  const K = codes.reduce((most, code) => Math.max(most, code.K), least);
  checkSize(B, K);
  const joined = { B, K, values: new Float32Array(B * K), indices: new Int32Array(B * K) };
  let row = 0;
  for (const code of codes)
    for (let b = 0; b < code.B; b++, row++) {
      joined.values.set(code.values.subarray(b * code.K, (b + 1) * code.K), row * K);
      joined.indices.set(code.indices.subarray(b * code.K, (b + 1) * code.K), row * K);
    }
  return joined;
}
