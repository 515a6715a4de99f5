/**
 * TopK sparse autoencoder (Gao et al. 2024, "Scaling and evaluating sparse autoencoders", sec. 2.3).
 *
 *   pre  = (x - b_dec) W_enc^T + b_enc          x [B,D], W_enc [F,D]
 *   z    = ReLU(TopK(pre))                      K kept per row; ties to the lower latent
 *   xhat = z W_dec + b_dec                      W_dec [F,D], unit rows
 *
 * z is sparse here: K values and indices per row, never [B,F] unless asked for by `dense`.
 */
import { pointer as at, createArena } from '../kernels/arena.ts';
import { createKernels } from '../kernels/kernels.ts';
import { getPlatform } from '../platform/index.ts';
import { createProduct, latentTile, rowTile } from './product.ts';
import type { Sae, SparseCode } from './types.ts';

/** What `dense` agrees to allocate. */
const denseLimitBytes = 2 ** 30;

/** The signal is looked at before each tile of 512 rows. */
export type EncodeOptions = { readonly signal?: AbortSignal };

export type Encoder = {
  /** Rows x [B,D] -> the K largest latents of each, best first; a slot without a positive value is (0, index 0). */
  encode(x: Float32Array, options?: EncodeOptions): Promise<SparseCode>;
  close(): Promise<void>;
};

/** Opens an encoder for one SAE. Throws when its arrays do not fit its config. */
export async function createEncoder(sae: Sae, { threads = getPlatform().threads } = {}): Promise<Encoder> {
  checkSae(sae);
  const { D, F, K } = sae.config;
  const product = await createProduct(threads);
  const arena = createArena(8 * K * rowTile + 4 * rowTile * latentTile + 1024);
  const kernels = createKernels(arena.memory);
  const values = arena.f32(rowTile * K);
  const latents = arena.i32(rowTile * K);
  const pre = arena.f32(rowTile * latentTile);
  async function encodeNow(x: Float32Array, { signal }: EncodeOptions = {}): Promise<SparseCode> {
    const B = rowsOf(x, D);
    const code = { B, K, values: new Float32Array(B * K), indices: new Int32Array(B * K) };
    const centred = new Float32Array(Math.min(B, rowTile) * D);
    for (let row = 0; row < B; row += rowTile) {
      signal?.throwIfAborted();
      const rows = Math.min(rowTile, B - row);
      for (let j = 0; j < rows * D; j++) centred[j] = x[row * D + j]! - sae.b_dec[j % D]!;
      values.fill(0);
      latents.fill(0);
      for (let i = 0; i < F; i += latentTile) {
        const end = Math.min(F, i + latentTile);
        const W = sae.W_enc.subarray(i * D, end * D);
        const tile = pre.subarray(0, rows * (end - i));
        await product.run(centred.subarray(0, rows * D), W, sae.b_enc.subarray(i, end), tile, D);
        kernels.selectTile(at(pre), rows, end - i, i, at(values), at(latents), K);
      }
      kernels.sortHeaps(at(values), at(latents), rows, K);
      code.values.set(values.subarray(0, rows * K), row * K);
      code.indices.set(latents.subarray(0, rows * K), row * K);
    }
    return code;
  }
  let last: Promise<unknown> = Promise.resolve();
  return {
    // One call after the other: they share the memory of the kernels.
    encode(x, options) {
      const code = last.then(() => encodeNow(x, options));
      last = code.catch(() => {});
      return code;
    },
    close: () => product.close(),
  };
}

const encoders = new WeakMap<Sae, Promise<Encoder>>();

/** Encodes rows x [B,D]. The first call opens an encoder, which lives as long as the SAE. */
export async function encode(sae: Sae, x: Float32Array, options: EncodeOptions = {}): Promise<SparseCode> {
  let encoder = encoders.get(sae);
  if (!encoder) encoders.set(sae, (encoder = createEncoder(sae)));
  return (await encoder).encode(x, options);
}

/** xhat [B,D] = z W_dec + b_dec. */
export function decode(sae: Sae, code: SparseCode): Float32Array {
  const { D, F } = sae.config;
  const { B, K, values, indices } = code;
  const out = new Float32Array(B * D);
  for (let b = 0; b < B; b++) {
    const row = out.subarray(b * D, (b + 1) * D);
    row.set(sae.b_dec);
    for (let k = b * K; k < (b + 1) * K; k++) {
      const value = values[k]!;
      if (value === 0) continue;
      const latent = indices[k]!;
      if (latent < 0 || latent >= F) throw new RangeError(`Latent ${latent} is outside [0, ${F}).`);
      const direction = latent * D;
      for (let d = 0; d < D; d++) row[d]! += value * sae.W_dec[direction + d]!;
    }
  }
  return out;
}

/** The code as a dense matrix [B,F], for small cases. Throws, naming its size, beyond 1 GiB. */
export function dense(code: SparseCode, F: number): Float32Array {
  const bytes = code.B * F * 4;
  if (bytes > denseLimitBytes)
    throw new RangeError(
      `A dense code of ${code.B} rows x ${F} latents takes ${(bytes / 2 ** 30).toFixed(1)} GiB; keep it sparse (values, indices) or ask for fewer rows.`,
    );
  const out = new Float32Array(code.B * F);
  for (let j = 0; j < code.values.length; j++)
    if (code.values[j] !== 0) out[Math.floor(j / code.K) * F + code.indices[j]!] = code.values[j]!;
  return out;
}

function rowsOf(x: Float32Array, D: number): number {
  if (x.length % D !== 0)
    throw new RangeError(
      `Activations hold ${x.length} numbers, which is not a whole number of rows of width ${D}.`,
    );
  return x.length / D;
}

function checkSae({ config: { D, F, K }, W_enc, b_enc, W_dec, b_dec }: Sae): void {
  const found = { W_enc: W_enc.length, b_enc: b_enc.length, W_dec: W_dec.length, b_dec: b_dec.length };
  const expected = { W_enc: F * D, b_enc: F, W_dec: F * D, b_dec: D };
  for (const name of ['W_enc', 'b_enc', 'W_dec', 'b_dec'] as const)
    if (found[name] !== expected[name])
      throw new RangeError(
        `${name} has ${found[name]} numbers, expected ${expected[name]} for D ${D}, F ${F}.`,
      );
  if (K > F) throw new RangeError(`K = ${K} active latents are asked for, but there are only F = ${F}.`);
}
