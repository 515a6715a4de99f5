/**
 *     xhat [B,Dout] = z W_dec + b_dec  (+ W_skip x)  (+ b_token[id])  (+ context),  scaled back where the input was normalised
 *
 * Of a layer of a cross-layer transcoder xhat [B,P D] is what it gives to its own layer and to each behind it, side by side; b_dec and W_skip
 * are of its own.
 */
import { outputWidth } from './check.ts';
import { restoreRow } from './normalise.ts';
import type { Sae, SparseCode } from './types.ts';

/** What some SAEs need beside the code. */
export type DecodeOptions = {
  /** [B,D], the rows that were encoded: of an SAE that normalises its input, and of a skip transcoder. */
  readonly x?: Float32Array;
  /** [B], of an SAE with token bias. */
  readonly ids?: ArrayLike<number>;
};

/** @throws for a latent that is not there, and when the SAE needs `x` or `ids` and does not get them */
export function decode(sae: Sae, code: SparseCode, { x, ids }: DecodeOptions = {}): Float32Array {
  const { D, F, inputNorm } = sae.config;
  const { W_dec, W_skip, b_token } = sae;
  const { B, K, values, indices, context } = code;
  const Dout = outputWidth(sae.config);
  if ((inputNorm || W_skip) && x?.length !== B * D)
    throw new RangeError(
      `This SAE ${W_skip ? 'has a skip connection' : 'normalises its input'}: decode(sae, code, { x }) needs the ${B} rows of width ${D} that were encoded.`,
    );
  if (b_token && ids?.length !== B)
    throw new RangeError(
      `This SAE has a bias for every token: decode(sae, code, { ids }) needs the ${B} token ids.`,
    );
  if (sae.config.architecture === 'temporal' && context?.length !== B * Dout)
    throw new RangeError(
      `A temporal SAE decodes codes of \`encode\`, which have \`context\` [B,Dout]: what the rows before tell.`,
    );
  const out = new Float32Array(B * Dout);
  for (let b = 0; b < B; b++) {
    const row = out.subarray(b * Dout, (b + 1) * Dout);
    row.set(sae.b_dec);
    for (let k = b * K; k < (b + 1) * K; k++) {
      const value = values[k]!;
      if (value === 0) continue;
      const latent = indices[k]!;
      if (latent < 0 || latent >= F) throw new RangeError(`Latent ${latent} is outside [0, ${F}).`);
      const direction = latent * Dout;
      for (let d = 0; d < Dout; d++) row[d]! += value * W_dec[direction + d]!;
    }
    if (W_skip) addProduct(W_skip, x!.subarray(b * D, (b + 1) * D), row);
    if (b_token) addTokenBias(b_token, ids![b]!, row);
    if (context) for (let d = 0; d < Dout; d++) row[d]! += context[b * Dout + d]!;
    if (inputNorm) restoreRow(inputNorm, x!.subarray(b * D, (b + 1) * D), row);
  }
  return out;
}

/** out += W x for W [O,D], O at most the length of out. */
function addProduct(W: Float32Array, x: Float32Array, out: Float32Array): void {
  const O = W.length / x.length;
  for (let o = 0; o < O; o++) {
    let sum = 0;
    for (let d = 0; d < x.length; d++) sum += W[o * x.length + d]! * x[d]!;
    out[o]! += sum;
  }
}

function addTokenBias(b_token: Float32Array, id: number, out: Float32Array): void {
  const V = b_token.length / out.length;
  if (!(Number.isInteger(id) && id >= 0 && id < V))
    throw new RangeError(`Token ${id} is outside the ${V} that the SAE knows.`);
  for (let d = 0; d < out.length; d++) out[d]! += b_token[id * out.length + d]!;
}

/** What `dense` agrees to allocate. */
const denseLimitBytes = 2 ** 30;

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
