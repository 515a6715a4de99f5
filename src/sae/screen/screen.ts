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
 *
 * Rows are dealt to lanes, one for each thread: worker threads that read the same W_enc. Which lane has a row changes no bit of its code.
 */
import { joinCodes } from '../select.ts';
import type { Sae, SparseCode } from '../types.ts';
import type { RankOrThreshold } from '../variants/variant.ts';
import { type Crew, crewOnThisThread, crewOnWorkers } from './crew.ts';
import { createInt8Product } from './int8-product.ts';
import { lanesThatFit, prepareLatents, rowTile, sizesOf } from './latents.ts';
import type { ScreenedRows } from './rows.ts';

/** Fewer rows than this are not worth another lane. */
const leastRows = 64;

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
  readonly selection: RankOrThreshold;
  readonly threads: number;
  /** What the encoder subtracts from x; b_enc [F] as the selection needs it. */
  readonly centre: Float32Array | undefined;
  readonly b_enc: Float32Array;
  /** Encodes rows without screening. */
  whole(x: Float32Array, signal: AbortSignal | undefined): Promise<SparseCode>;
};

/** Whoever drops an SAE without closing its encoder leaves no threads behind. */
const abandoned = new FinalizationRegistry((crew: Crew) => void crew.close());

/** @throws for signed codes, weights that are not finite, SAEs beyond 4 GiB, and engines without an exact int8 product */
export async function createScreen({
  sae,
  selection,
  threads,
  centre,
  b_enc,
  whole,
}: ScreenInput): Promise<Screen> {
  const { D } = sae.config;
  if (selection.by === 'rank' && selection.signed)
    throw new Error(
      'Signed codes cannot be screened: large values of either sign count. Encode without screen.',
    );
  const K = selection.by === 'rank' ? selection.K : 0;
  const crew = await openCrew({ sae, selection, threads, centre, b_enc });
  abandoned.register(sae, crew, crew);
  let screened: Screened = { rows: 0, candidates: 0, whole: 0 };

  /** The codes of rows in pieces of `size`; undefined for those that screening was given up before. */
  async function screen(
    x: Float32Array,
    size: number,
    signal: AbortSignal | undefined,
  ): Promise<(ScreenedRows | undefined)[]> {
    const pieces = Array.from({ length: Math.ceil(x.length / D / size) }, (_, n) => n);
    const found: ScreenedRows[] = [];
    async function work(lane: number): Promise<void> {
      while (pieces.length > 0 && !signal?.aborted && !dense(screened)) {
        const n = pieces.shift()!;
        const rows = await crew.encode(lane, x.slice(n * size * D, (n + 1) * size * D));
        found[n] = rows;
        screened = {
          rows: screened.rows + rows.code.B,
          candidates: screened.candidates + rows.candidates,
          whole: screened.whole + rows.open.length,
        };
      }
    }
    // No lane is left at work, whatever happens to another.
    const lanes = await Promise.allSettled(Array.from({ length: crew.lanes }, (_, lane) => work(lane)));
    for (const lane of lanes) if (lane.status === 'rejected') throw lane.reason;
    signal?.throwIfAborted();
    return Array.from({ length: Math.ceil(x.length / D / size) }, (_, n) => found[n]);
  }

  return {
    async encode(x, signal) {
      signal?.throwIfAborted();
      const B = x.length / D;
      const size = Math.min(rowTile, Math.max(leastRows, Math.ceil(B / crew.lanes)));
      const pieces = await screen(x, size, signal);
      const open = pieces.flatMap((piece, n) =>
        piece
          ? piece.open.map((r) => n * size + r)
          : Array.from({ length: Math.min(size, B - n * size) }, (_, r) => n * size + r),
      );
      if (open.length === B) return await whole(x, signal);
      const rows = new Float32Array(open.length * D);
      for (const [n, r] of open.entries()) rows.set(x.subarray(r * D, (r + 1) * D), n * D);
      const rest = open.length > 0 ? await whole(rows, signal) : nothing(0);
      const codes = pieces.map((piece, n) => piece?.code ?? nothing(Math.min(size, B - n * size)));
      const code = joinCodes(codes, B, Math.max(1, K, rest.K));
      for (const [n, r] of open.entries()) {
        code.values.fill(0, r * code.K, (r + 1) * code.K);
        code.indices.fill(0, r * code.K, (r + 1) * code.K);
        code.values.set(rest.values.subarray(n * rest.K, (n + 1) * rest.K), r * code.K);
        code.indices.set(rest.indices.subarray(n * rest.K, (n + 1) * rest.K), r * code.K);
      }
      return code;
    },
    screened: () => screened,
    async close() {
      abandoned.unregister(crew);
      await crew.close();
    },
  };
}

async function openCrew({
  sae,
  selection,
  threads,
  centre,
  b_enc,
}: Omit<ScreenInput, 'whole'>): Promise<Crew> {
  // A page may not share memory unless it is isolated from others.
  const shared = threads > 1 && typeof SharedArrayBuffer !== 'undefined';
  const lanes = shared ? lanesThatFit(sizesOf(sae.config, selection), threads) : 1;
  const product = await createInt8Product(shared ? 1 : threads);
  try {
    const { mostWeight } = product;
    const { latents, tiles } = prepareLatents(sae, selection, centre, b_enc, { mostWeight, lanes, shared });
    if (!shared) return crewOnThisThread(latents, tiles, product);
    const crew = await crewOnWorkers(latents, tiles, { lanes, threads: Math.floor(threads / lanes) });
    await product.close();
    return crew;
  } catch (error) {
    await product.close();
    throw error;
  }
}

const nothing = (B: number): SparseCode => ({
  B,
  K: 1,
  values: new Float32Array(B),
  indices: new Int32Array(B),
});

/** Where most rows had to be encoded without it, screening is given up: penalised SAEs with dense codes. */
const dense = ({ rows, whole }: Screened): boolean => rows >= rowTile && 2 * whole > rows;
