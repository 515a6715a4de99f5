/**
 * Skip transcoder (Paulo et al. 2025): a transcoder beside a linear map, which takes what needs no latents.
 *
 *   e            = y - b_dec - (x - c) W_skip^T - z W_dec          W_skip [Dout,D], from 0
 *   dL/dW_skip   = - g sum_b e_b (x_b - c)^T                       g = 2 mseScale / (B Dout);  AuxK does not reach it
 *   the rest     as the transcoder
 */
import { transcoder } from './transcoder.ts';
import type { Variant } from './types.ts';

export const skipTranscoder: Variant = { ...transcoder, skip: true };
