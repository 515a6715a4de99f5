/**
 * TopK (Gao et al. 2024, sec. 2.3).
 *
 *   pre  = (x - b_dec) W_enc^T + b_enc
 *   z    = ReLU(TopK(pre))                               the K largest of each row;  signed: pre of the K largest |pre|, to one bit
 *   e    = x - b_dec - z W_dec
 *   L    = mseScale mean(e^2)  + mseScale mean(e_4K^2) / 8     with Multi-TopK: e_4K as e, with 4K active latents
 *   dL/dz = -g e . w_dec,  dL/dpre = dL/dz where z is not 0     g = 2 mseScale / (B D)
 */
import { multiTopkWeight } from '../constants.ts';
import { reconstruct } from '../reconstruct.ts';
import { selectRows } from '../select-rows.ts';
import type { StepContext } from '../step.ts';
import { update } from '../update.ts';
import type { Variant } from './types.ts';

export const topk: Variant = {
  selection: 'rows',
  parameters: {},
  penalised: false,
  auxk: true,
  settings: ({ K, signed }) => ({ architecture: 'topk', K, ...(signed ? { signed } : {}) }),
  async forward(context, { toLoss, competitors }) {
    await selectRows(context, competitors);
    const squaredError = reconstruct(context);
    if (!context.config.multiTopk) return { squaredError, loss: toLoss * squaredError };
    const wideError = reconstructWide(context);
    return { squaredError, wideError, loss: toLoss * (squaredError + multiTopkWeight * wideError) };
  },
  async backward(context, { toLoss, auxG, step, competitors }) {
    update(context, { g: 2 * toLoss, auxG, step, competitors });
  },
};

/** Multi-TopK: leaves e_4K = x - z_4K W_dec in wideError; returns sum |e_4K|^2. */
function reconstructWide(context: StepContext): number {
  const {
    wideRowStart: start,
    wideRowLatent: latents,
    wideRowValue: values,
    wideError: error,
  } = context.group;
  return reconstruct(context, { start, latents, values, error });
}
