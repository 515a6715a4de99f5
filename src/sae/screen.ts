/**
 * The same codes for less work: latents are screened by an int8 product, and those that may matter are computed in float32.
 *
 *     x = sx qx + ex,  w_i = sw_i qw_i + ew_i            rounded to 8 bits, one scale for each row and for each latent
 *     pre_i = s_i + r_i,  s_i = sx sw_i (qx qw_i) + b_i,  |r_i| <= |ex| |w_i| + (|x| + |ex|) |ew_i|       by Cauchy-Schwarz
 *
 *   threshold   candidates are the latents with s_i + |r_i| > theta_i
 *   rank        candidates are those with s_i + |r_i| > t, t a little below the K-th largest s. What was left out is below t; so when the K-th
 *               largest of the candidates, computed in float32, is at least t, nothing of the K largest was left out. Otherwise, and where a
 *               row has more candidates than pay off, the row is encoded without screening.
 *
 * Rounding of float32 is part of the bounds. Values come from one order of summation (kernels/assembly/screen.ts), so a code does not depend on
 * what was screened: it is, bit for bit, the selection among all F float32 pre-activations of that order. ONNX Runtime's product has another
 * order: of two pre-activations closer than float32 rounding the other one may be chosen there.
 */
import { pointer as at, createArena } from '../kernels/arena.ts';
import { createKernels } from '../kernels/kernels.ts';
import { createInt8Product } from './int8-product.ts';
import { normaliseRows } from './normalise.ts';
import { latentTile } from './product.ts';
import { joinCodes, joinTiles } from './select.ts';
import type { Sae, SparseCode } from './types.ts';
import type { Selection } from './variants/variant.ts';

/** Every tile of rows reads W_enc once from memory. */
const rowTile = 2048;
/** Relative, far above what float32 loses in the few steps from the integer product to a bound. */
const slack = 2 ** -20;

export type Screened = {
  readonly rows: number;
  /** Latents that were computed in float32. */
  readonly candidates: number;
  /** Rows that were encoded without screening. */
  readonly whole: number;
};

export type Screen = {
  encode(x: Float32Array, signal: AbortSignal | undefined): Promise<SparseCode>;
  screened(): Screened;
  close(): Promise<void>;
};

export type ScreenInput = {
  readonly sae: Sae;
  readonly selection: Selection;
  readonly threads: number;
  /** What the encoder subtracts from x; b_enc [F] as the selection needs it. */
  readonly centre: Float32Array | undefined;
  readonly b_enc: Float32Array;
  /** Encodes rows without screening. */
  whole(x: Float32Array, signal: AbortSignal | undefined): Promise<SparseCode>;
};

/** @throws for signed codes, weights that are not finite, SAEs beyond 4 GiB, and engines without an exact int8 product */
export async function createScreen({
  sae,
  selection,
  threads,
  centre,
  b_enc,
  whole,
}: ScreenInput): Promise<Screen> {
  const { D, F, inputNorm } = sae.config;
  if (selection.by === 'rank' && selection.signed)
    throw new Error(
      'Signed codes cannot be screened: large values of either sign count. Encode without screen.',
    );
  const K = selection.by === 'rank' ? selection.K : 0;
  const [P, padded] = [roundUp(D, 16), roundUp(F, 16)];
  // More candidates than this cost what the float32 product costs.
  const capacity = roundUp(Math.min(F, Math.max(8 * K, 64, F / 16)), 4);
  const perRow = 5 * P + 4 * latentTile + 8 * K + 32 * capacity + 64;
  const arena = createArena(4 * padded * (P + 9) + rowTile * perRow + 4096);
  const kernels = createKernels(arena.memory);
  const product = await createInt8Product(threads);

  const W = arena.f32(padded * P);
  for (let i = 0; i < F; i++) W.set(sae.W_enc.subarray(i * D, (i + 1) * D), i * P);
  const latent = {
    scale: arena.f32(padded),
    norm: arena.f32(padded),
    error: arena.f32(padded),
    offset: arena.f32(padded),
  };
  const bias = arena.f32(padded);
  bias.set(b_enc);
  const x = arena.f32(rowTile * P);
  const q = arena.u8(rowTile * P);
  const row = {
    scale: arena.f32(rowTile),
    a: arena.f32(rowTile),
    c: arena.f32(rowTile),
    margin: arena.f32(rowTile),
    limit: arena.f32(rowTile),
  };
  const out = arena.i32(rowTile * latentTile);
  const heap = { values: arena.f32(rowTile * K), latents: arena.i32(rowTile * K) };
  /** Lengths at which lists are thinned out. */
  const due = arena.i32(rowTile);
  const counts = arena.i32(rowTile);
  const list = {
    latents: arena.i32(rowTile * capacity),
    uppers: arena.f32(rowTile * capacity),
    estimates: arena.f32(rowTile * capacity),
  };
  const entries = {
    rowStart: arena.i32(rowTile + 1),
    latents: arena.i32(rowTile * capacity),
    numbers: arena.i32(rowTile * capacity),
    values: arena.f32(rowTile * capacity),
  };
  const byLatent = {
    start: arena.i32(F + 1),
    cursor: arena.i32(F),
    rows: arena.i32(rowTile * capacity),
    numbers: arena.i32(rowTile * capacity),
  };
  const scratch = arena.f32(12);
  /** Of every 16 latents: 1 / scale, norm, error, offset. */
  const stride = roundUp(padded / 16, 4);
  const groups = arena.f32(4 * stride);

  /** Bounds of |v| and |e| from sums of squares in float32. */
  const norms = (squares: number, errors: number): [number, number] => {
    const grown = 1 + P * 2 ** -22;
    const norm = Math.sqrt(squares) * grown + 1e-20;
    return [norm, Math.sqrt(errors) * grown + norm * slack + 1e-20];
  };

  const tiles: Int8Array[] = [];
  for (let first = 0; first < padded; first += latentTile)
    tiles.push(new Int8Array(P * Math.min(latentTile, padded - first)));
  for (let i = 0; i < padded; i += rowTile) {
    const n = Math.min(rowTile, padded - i);
    const rows = W.subarray(i * P, (i + n) * P);
    // biome-ignore format: grouped as in the kernel
    kernels.quantiseRows(at(rows), n, P, product.mostWeight, at(q), at(latent.scale) + 4 * i, at(latent.norm) + 4 * i, at(latent.error) + 4 * i);
    for (let j = 0; j < n; j++)
      transpose(
        q.subarray(j * P, (j + 1) * P),
        tiles[Math.floor((i + j) / latentTile)]!,
        (i + j) % latentTile,
      );
  }
  let [meanNorm, meanError] = [0, 0];
  latent.offset.fill(Number.NEGATIVE_INFINITY);
  for (let i = 0; i < F; i++) {
    const [norm, error] = norms(latent.norm[i]!, latent.error[i]!);
    if (!Number.isFinite(norm)) throw new RangeError(`W_enc of latent ${i} is not finite.`);
    const theta = selection.by === 'threshold' ? selection.threshold[i]! : 0;
    latent.norm[i] = norm;
    latent.error[i] = error;
    latent.offset[i] =
      b_enc[i]! - theta + (theta === Infinity ? 0 : slack * (Math.abs(b_enc[i]!) + Math.abs(theta)) + 1e-30);
    meanNorm += norm / F;
    meanError += error / F;
  }
  for (let g = 0; 16 * g < padded; g++)
    for (const [n, array] of [latent.scale, latent.norm, latent.error, latent.offset].entries()) {
      const largest = array
        .subarray(16 * g, 16 * (g + 1))
        .reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
      groups[n * stride + g] = n > 0 ? largest : largest > 0 ? 1 / largest : 0;
    }
  // The K-th largest estimate is off by what errors are, not by what they could be.
  const share = Math.min(1, 2 / Math.sqrt(D));
  let screened: Screened = { rows: 0, candidates: 0, whole: 0 };

  function quantise(rows: number): void {
    kernels.quantiseRows(at(x), rows, P, 127, at(q), at(row.scale), at(row.a), at(row.c));
    for (let r = 0; r < rows; r++) {
      const [norm, error] = norms(row.a[r]!, row.c[r]!);
      // The sum in float32 of P products and a bias, in any order, is off by less than P 2^-24 |x| |w|.
      row.a[r] = (error + norm * (P * 2 ** -23 + slack)) * (1 + slack);
      row.c[r] = (norm + error) * (1 + slack);
      row.margin[r] = K > 0 ? share * (row.a[r]! * meanNorm + row.c[r]! * meanError) : 0;
      row.limit[r] = -row.margin[r]!;
      counts[r] = Number.isFinite(norm) ? 0 : capacity + 1;
    }
  }

  async function encodeTile(rows: number): Promise<SparseCode> {
    quantise(rows);
    due.fill(K > 0 ? Math.min(capacity, 4 * K) : capacity);
    for (const [t, tile] of tiles.entries()) {
      const [first, width] = [t * latentTile, tile.length / P];
      await product.run(q.subarray(0, rows * P), tile, out.subarray(0, rows * width), P);
      // biome-ignore format: grouped as in the kernel
      kernels.screenTile(
        at(out), rows, width, first, at(latent.scale) + 4 * first, at(latent.norm) + 4 * first, at(latent.error) + 4 * first, at(latent.offset) + 4 * first,
        at(groups) + first / 4, 4 * stride,
        at(row.scale), at(row.a), at(row.c), at(row.margin), at(row.limit), K, at(due), 
        at(counts), at(list.latents), at(list.uppers), at(list.estimates), capacity, at(scratch),
      );
    }
    // biome-ignore format: grouped as in the kernel
    const n = kernels.screenedEntries(
      at(counts), at(row.margin), at(row.limit), K, at(list.latents), at(list.uppers), at(list.estimates), rows, capacity, at(entries.rowStart), at(entries.latents), at(entries.numbers),
    );
    // biome-ignore format: grouped as in the kernel
    kernels.transposeEntries(
      at(entries.rowStart), at(entries.latents), at(entries.numbers), rows, 1, F, at(byLatent.start), at(byLatent.cursor), at(byLatent.rows), at(byLatent.numbers),
    );
    // biome-ignore format: grouped as in the kernel
    kernels.rescore(at(byLatent.start), at(byLatent.rows), at(byLatent.numbers), F, at(x), at(W), P, at(bias), at(entries.values));
    screened = { ...screened, rows: screened.rows + rows, candidates: screened.candidates + n };
    return selection.by === 'rank' ? best(rows) : above(rows, selection);
  }

  function best(rows: number): SparseCode {
    heap.values.fill(0);
    heap.latents.fill(0);
    // biome-ignore format: grouped as in the kernel
    kernels.keepBest(at(entries.rowStart), at(entries.latents), at(entries.values), rows, at(heap.values), at(heap.latents), K);
    for (let r = 0; r < rows; r++) if (!(heap.values[r * K]! >= row.limit[r]!)) counts[r] = capacity + 1;
    kernels.sortHeaps(at(heap.values), at(heap.latents), rows, K);
    return { B: rows, K, values: heap.values.slice(0, rows * K), indices: heap.latents.slice(0, rows * K) };
  }

  function above(rows: number, { threshold, scale, shift }: Selection & { by: 'threshold' }): SparseCode {
    const rowStart = new Uint32Array(rows + 1);
    let n = 0;
    for (let r = 0; r < rows; r++) {
      for (let j = entries.rowStart[r]!; j < entries.rowStart[r + 1]!; j++) {
        const i = entries.latents[j]!;
        const pre = entries.values[j]!;
        const value = scale ? Math.fround(Math.fround(scale[i]! * pre) + shift![i]!) : pre;
        if (!(pre > threshold[i]! && value > 0)) continue;
        entries.latents[n] = i;
        entries.values[n++] = value;
      }
      rowStart[r + 1] = n;
    }
    return joinTiles([{ rowStart, latents: entries.latents, values: entries.values }], rows);
  }

  /** Puts the rows that screening could not settle into their places. */
  async function complete(
    code: SparseCode,
    given: Float32Array,
    signal: AbortSignal | undefined,
  ): Promise<SparseCode> {
    const open = Array.from({ length: code.B }, (_, r) => r).filter((r) => counts[r]! > capacity);
    if (open.length === 0) return code;
    screened = { ...screened, whole: screened.whole + open.length };
    const rows = new Float32Array(open.length * D);
    for (const [n, r] of open.entries()) rows.set(given.subarray(r * D, (r + 1) * D), n * D);
    const found = await whole(rows, signal);
    const width = Math.max(code.K, found.K);
    const merged = {
      B: code.B,
      K: width,
      values: new Float32Array(code.B * width),
      indices: new Int32Array(code.B * width),
    };
    for (let r = 0, n = 0; r < code.B; r++) {
      const [from, b] = open[n] === r ? [found, n++] : [code, r];
      merged.values.set(from.values.subarray(b * from.K, (b + 1) * from.K), r * width);
      merged.indices.set(from.indices.subarray(b * from.K, (b + 1) * from.K), r * width);
    }
    return merged;
  }

  return {
    async encode(given, signal) {
      const B = given.length / D;
      const codes: SparseCode[] = [];
      const centred = new Float32Array(Math.min(B, rowTile) * D);
      for (let from = 0; from < B; from += rowTile) {
        signal?.throwIfAborted();
        const rows = Math.min(rowTile, B - from);
        const part = given.subarray(from * D, (from + rows) * D);
        if (dense(screened)) {
          codes.push(await whole(part, signal));
          continue;
        }
        normaliseRows(inputNorm, part, D, centre, centred);
        if (P === D) x.set(centred.subarray(0, rows * D));
        else for (let r = 0; r < rows; r++) x.set(centred.subarray(r * D, (r + 1) * D), r * P);
        codes.push(await complete(await encodeTile(rows), part, signal));
      }
      return joinCodes(codes, B, Math.max(1, K));
    },
    screened: () => screened,
    close: () => product.close(),
  };
}

/** Where most rows had to be encoded without it, screening is given up: penalised SAEs with dense codes. */
const dense = ({ rows, whole }: Screened): boolean => rows >= rowTile && 2 * whole > rows;

const roundUp = (n: number, multiple: number): number => Math.ceil(n / multiple) * multiple;

/** One latent's bytes with zero point 128 -> column `column` of W [P,width]. */
function transpose(bytes: Uint8Array, W: Int8Array, column: number): void {
  const width = W.length / bytes.length;
  for (let p = 0; p < bytes.length; p++) W[p * width + column] = bytes[p]! - 128;
}
