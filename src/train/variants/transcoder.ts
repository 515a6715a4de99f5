/**
 * Transcoder (Dunefsky et al. 2024): reads one place of the model and gives another, such as what an MLP makes of its input.
 *
 *   pre    = (x - c) W_enc^T + b_enc                 x [B,D] is read; c, the median of the first rows, stays as it is
 *   z      = the B K largest positive pre of the whole batch, as BatchTopK; the finished one has a threshold
 *   e      = y - b_dec - z W_dec                     y [B,Dout] is to be given, W_dec [F,Dout] of unit rows
 *   L, gradients   as TopK, but that the encoder does not see b_dec
 *
 * c only makes the start better conditioned: W_enc c goes into b_enc when the SAE is exported, which then reads x itself.
 */
import { batchTopk } from './batch-topk.ts';
import type { Variant } from './types.ts';

export const transcoder: Variant = { ...batchTopk, transcodes: true };
