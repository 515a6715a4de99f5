/**
 * BatchTopK (Bussmann et al. 2024).
 *
 *   z      = the B K largest positive pre of the whole batch, so that K is a mean: a hard row may take more
 *   theta <- average of the least active value of each batch; the finished SAE is z = pre [pre > theta], row by row
 *   L, gradients   as TopK
 */
import { averageThreshold } from '../control.ts';
import { reconstruct } from '../reconstruct.ts';
import { selectBatch } from '../select-batch.ts';
import { update } from '../update.ts';
import type { Variant } from './types.ts';

export const batchTopk: Variant = {
  selection: 'batch',
  parameters: {},
  penalised: false,
  auxk: true,
  settings: ({ K }, threshold) => ({ architecture: 'batchtopk', K, threshold }),
  async forward(context, { toLoss, competitors }) {
    const least = await selectBatch(context, competitors);
    const squaredError = reconstruct(context);
    return { squaredError, loss: toLoss * squaredError, least };
  },
  async backward(context, { toLoss, auxG, step, competitors, forward }) {
    averageThreshold(context.group, context.config, forward.least ?? 0);
    update(context, { g: 2 * toLoss, auxG, step, competitors });
  },
};
