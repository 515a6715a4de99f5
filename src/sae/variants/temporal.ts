/**
 * Temporal SAE (Lubana et al. 2025, "Priors in time"; SAELens's temporal): what the rows before tell of a row is taken off first, and the code
 * is of what is new. For the rows r [T,D] of one sequence, r = x' - b_dec, lambda = 1 / (4 D), for every layer of attention:
 *
 *     u = ReLU(lambda r W_enc^T)        ctx_t = u_{t-1}, ctx_0 = 0         q = u Q^T + b_q,  k = ctx K^T + b_k,  v = ctx V^T + b_v
 *     p = ReLU(attention(q, k, v) C^T + b_c)        causal, softmax(q k^T / sqrt(width of a head))
 *     d = p W_dec,   s = <d, r> / (|d| + epsilon)^2,   r -= s d          context += s d
 *
 *     z = ReLU(TopK(lambda r W_enc^T)),   xhat = z W_dec + context + b_dec
 *
 * So a row needs those before it: rows are encoded sequence by sequence, and the context comes with their code. Read here, not trained.
 */
import { z } from 'zod';
import { defineVariant } from './variant.ts';

export const temporal = defineVariant({
  title: 'temporal',
  settings: z.strictObject({
    architecture: z.literal('temporal'),
    /** F: all that is positive. */
    K: z.int().positive(),
    heads: z.int().positive(),
    layers: z.int().nonnegative(),
    /** Of q and k, of all heads together. */
    attentionWidth: z.int().positive(),
    epsilon: z.number().positive(),
  }),
  arrays: [],
  shapes: ({ F, layers, attentionWidth: E }) =>
    Object.fromEntries(
      Array.from({ length: layers }, (_, l) => [
        [`attn.${l}.q`, [E, F]],
        [`attn.${l}.q_bias`, [E]],
        [`attn.${l}.k`, [E, F]],
        [`attn.${l}.k_bias`, [E]],
        [`attn.${l}.v`, [F, F]],
        [`attn.${l}.v_bias`, [F]],
        [`attn.${l}.out`, [F, F]],
        [`attn.${l}.out_bias`, [F]],
      ]).flat(),
    ),
  selection: ({ K, heads, layers, attentionWidth, epsilon }, { b_enc }) => {
    const F = b_enc.length;
    if (K > F) throw new RangeError(`K = ${K} active latents are asked for, but there are only F = ${F}.`);
    if (F % heads !== 0 || attentionWidth % heads !== 0)
      throw new RangeError(`${heads} heads do not divide F = ${F} and a width of ${attentionWidth}.`);
    return { by: 'context', K, heads, layers, epsilon };
  },
});
