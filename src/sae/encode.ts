/**
 * Rows x [B,D] -> sparse codes, for every variant.
 *
 *     row tiles of 512 x latent tiles of 2,048:  pre = (x' - b_dec) W_enc^T + b_enc   in ONNX Runtime
 *     each tile then streams past the variant's selection: heaps of the K best per row, or a threshold per latent
 *
 * z is sparse here, never [B,F] unless asked for by `dense`.
 */
import { pointer as at, createArena } from '../kernels/arena.ts';
import { createKernels } from '../kernels/kernels.ts';
import { getPlatform } from '../platform/index.ts';
import { checkSae, ownSelection, subtractsBias } from './check.ts';
import { normaliseRows } from './normalise.ts';
import { createProduct, latentTile, rowTile } from './product.ts';
import { pursue } from './pursuit.ts';
import { createScreen, type Screened } from './screen/screen.ts';
import { createSelector, joinCodes } from './select.ts';
import { openTemporal, type Temporal } from './temporal.ts';
import type { Sae, SparseCode } from './types.ts';
import type { PreSelection } from './variants/variant.ts';

/** What is computed first to save work; the code is the same (screen/screen.ts says how far). */
export type Screening = 'int8';

/** The signal is looked at before each tile of rows. */
export type EncodeOptions = {
  readonly signal?: AbortSignal;
  readonly screen?: Screening | undefined;
  /** Of a temporal SAE: how many rows each sequence has, one after the other, from its first token on. */
  readonly sequences?: readonly number[];
};

export type Encoder = {
  /** Rows x [B,D] -> the active latents of each, largest magnitude first; a free slot is (0, index 0). */
  encode(x: Float32Array, options?: Pick<EncodeOptions, 'signal' | 'sequences'>): Promise<SparseCode>;
  /** With screening: what it has come to so far. */
  screened?(): Screened;
  close(): Promise<void>;
};

export type EncoderOptions = { readonly threads?: number; readonly screen?: Screening | undefined };

/**
 * Opens an encoder for one SAE. With `screen: 'int8'` it holds W_enc a second time, in float32 and in int8.
 *
 * @throws when the SAE's arrays do not fit its config, and where screening cannot be had
 */
export async function createEncoder(
  sae: Sae,
  { threads = getPlatform().threads, screen }: EncoderOptions = {},
): Promise<Encoder> {
  const selection = checkSae(sae);
  // Before anything is opened that an error would leave open.
  const screened = screen ? ownSelection(sae) : undefined;
  const { D, F, inputNorm } = sae.config;
  const product = await createProduct(threads);
  const tiled = selection.by !== 'pursuit' && selection.by !== 'context' ? selection : undefined;
  const tiles = tiled && openTiles(tiled, F);
  const temporal = selection.by === 'context' ? await openTemporal(sae, selection, threads) : undefined;
  const bias = subtractsBias(sae.config) ? sae.b_dec : undefined;
  const b_enc = selection.by === 'threshold' && selection.bias === false ? new Float32Array(F) : sae.b_enc;
  async function encodeRows(x: Float32Array, signal: AbortSignal | undefined): Promise<SparseCode> {
    const B = rowsOf(x, D);
    const codes: SparseCode[] = [];
    const centred = new Float32Array(Math.min(B, rowTile) * D);
    for (let row = 0; row < B; row += rowTile) {
      signal?.throwIfAborted();
      const rows = Math.min(rowTile, B - row);
      normaliseRows(inputNorm, x.subarray(row * D, (row + rows) * D), D, bias, centred);
      const given = centred.subarray(0, rows * D);
      if (selection.by === 'pursuit') {
        codes.push(await pursue(product, sae.W_dec, D, given, selection, signal));
        continue;
      }
      const { select, pre } = tiles!;
      select.start();
      for (let i = 0; i < F; i += latentTile) {
        const end = Math.min(F, i + latentTile);
        const W = sae.W_enc.subarray(i * D, end * D);
        const tile = pre.subarray(0, rows * (end - i));
        await product.run(given, W, b_enc.subarray(i, end), tile, D);
        select.tile(at(pre), rows, end - i, i);
      }
      codes.push(select.finish(rows));
    }
    return joinCodes(codes, B, 'K' in selection ? selection.K : 1);
  }
  async function encodeSequences(
    { encode: read }: Temporal,
    x: Float32Array,
    B: number,
    sequences: readonly number[] | undefined,
    signal: AbortSignal | undefined,
  ): Promise<SparseCode> {
    const whole = sequences?.every((T) => Number.isInteger(T) && T > 0) === true;
    if (!whole || sequences!.reduce((sum, T) => sum + T, 0) !== B)
      throw new RangeError(
        `A temporal SAE reads every row with those before it: encode(sae, x, { sequences }) needs the lengths of the sequences that the ${B} rows are${sequences ? `, found ${sequences.slice(0, 5).join(', ')}` : ''}. Indexing, evaluating and the app read rows one by one, so they cannot use it.`,
      );
    const r = new Float32Array(x.length);
    normaliseRows(inputNorm, x, D, bias, r);
    return await read(r, sequences!, signal);
  }
  const screening = screened
    ? await createScreen({
        sae,
        selection: screened,
        threads,
        centre: bias,
        b_enc,
        whole: encodeRows,
      }).catch(async (error: unknown) => {
        await product.close();
        throw error;
      })
    : undefined;
  let last: Promise<unknown> = Promise.resolve();
  return {
    // One call after the other: they share the memory of the kernels.
    encode(x, { signal, sequences } = {}) {
      const code = last.then(() => {
        const B = rowsOf(x, D);
        if (temporal) return encodeSequences(temporal, x, B, sequences, signal);
        return (screening?.encode ?? encodeRows)(x, signal);
      });
      last = code.catch(() => {});
      return code;
    },
    ...(screening ? { screened: screening.screened } : {}),
    async close() {
      await product.close();
      await temporal?.close();
      await screening?.close();
    },
  };
}

/** The memory of a tile of pre-activations, and of what is picked from it. */
function openTiles(selection: PreSelection, F: number) {
  const selector = createSelector(selection, F);
  const arena = createArena(selector.bytes + 4 * rowTile * latentTile + 1024);
  const select = selector.open(arena, createKernels(arena.memory));
  return { select, pre: arena.f32(rowTile * latentTile) };
}

/** Whether codes of this SAE can be screened: signed ones cannot, whose large values of either sign count, nor those of matching pursuit, GroupMax and temporal SAEs. */
export function canScreen(sae: Sae): boolean {
  const selection = checkSae(sae);
  if (selection.by === 'rank') return !selection.signed;
  return selection.by === 'threshold';
}

const encoders = { whole: new WeakMap<Sae, Promise<Encoder>>(), int8: new WeakMap<Sae, Promise<Encoder>>() };

/** Encodes rows x [B,D]. The first call opens an encoder, which lives as long as the SAE. */
export async function encode(sae: Sae, x: Float32Array, options: EncodeOptions = {}): Promise<SparseCode> {
  const opened = encoders[options.screen ?? 'whole'];
  let encoder = opened.get(sae);
  if (!encoder) opened.set(sae, (encoder = createEncoder(sae, { screen: options.screen })));
  return (await encoder).encode(x, options);
}

function rowsOf(x: Float32Array, D: number): number {
  if (x.length % D !== 0)
    throw new RangeError(
      `Activations hold ${x.length} numbers, which is not a whole number of rows of width ${D}.`,
    );
  return x.length / D;
}
