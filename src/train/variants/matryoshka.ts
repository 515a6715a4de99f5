/**
 * Matryoshka BatchTopK (Bussmann et al. 2025): every prefix of the latents reconstructs on its own.
 *
 *   z as BatchTopK;  prefixes m_1 < ... < m_G = F
 *   C_g    = z W_dec over latents [m_g-1, m_g)            each summed over shards in their tree
 *   e_g    = e_g-1 - C_g,  e_0 = x - b_dec                what the latents below m_g leave
 *   L      = mseScale mean over g of mean(e_g^2)          the paper sums over g; the mean keeps AuxK's weight what it is elsewhere
 *   E_g    = sum over h >= g of e_h                       a latent of group g is in all of those reconstructions, so
 *   dL/dz  = -(2 mseScale / (G B D)) E_g . w_dec,   dL/db_dec likewise from E_1
 */
import { pointer as at } from '../../kernels/arena.ts';
import { averageThreshold } from '../control.ts';
import { total } from '../reconstruct.ts';
import { selectBatch } from '../select-batch.ts';
import type { StepContext } from '../step.ts';
import { update } from '../update.ts';
import type { Variant } from './types.ts';

export const matryoshka: Variant = {
  selection: 'batch',
  parameters: {},
  penalised: false,
  nested: true,
  auxk: true,
  settings: ({ K, F, prefixes = [F] }, threshold) => ({ architecture: 'matryoshka', K, threshold, prefixes }),
  async forward(context, { toLoss, competitors }) {
    const least = await selectBatch(context, competitors);
    const squared = residuals(context);
    const G = squared.length;
    const loss = (toLoss / G) * squared.reduce((a, b) => a + b, 0);
    return { squaredError: squared[G - 1]!, loss, least };
  },
  async backward(context, { toLoss, auxG, step, competitors, forward }) {
    const { group, config } = context;
    averageThreshold(group, config, forward.least ?? 0);
    const [G, size] = [group.prefixes, config.B * group.D];
    const residual = (g: number) => at(group.prefixPartial) + g * size * 4;
    for (let g = G - 2; g >= 0; g--) group.kernels.sumRows(residual(g), residual(g + 1), size);
    const ends = group.prefixEnd;
    const errors = Array.from({ length: G }, (_, g) => ({
      start: g > 0 ? ends[g - 1]! : 0,
      end: ends[g]!,
      error: residual(g),
    }));
    update(context, { g: (2 * toLoss) / G, auxG, step, competitors, errors });
  },
};

/** Leaves e_g in prefixPartial [G,B,D], the last one also in error; returns sum |e_g|^2 of each. */
function residuals({ group, comm, config }: StepContext): number[] {
  const { kernels, D, own, prefixes: G } = group;
  const { B } = config;
  for (const [g, end] of (config.prefixes ?? [config.F]).entries())
    group.prefixEnd[g] = Math.max(0, Math.min(group.F, end - group.rank * group.F));
  // biome-ignore format: grouped as in the kernel
  kernels.entriesByPrefix(
    at(group.rowStart), at(group.rowLatent), at(group.rowValue), B, own, at(group.prefixEnd), G, at(group.prefixStart),
    at(group.prefixLatent), at(group.prefixValue),
  );
  // biome-ignore format: grouped as in the kernel
  kernels.decodeRows(
    at(group.prefixStart), at(group.prefixLatent), at(group.prefixValue), at(group.weights.W_dec), at(group.leaves),
    at(group.prefixPartial), G * B, own, D, 1,
  );
  comm.allReduceSum('prefixPartial', group.prefixPartial, group.prefixPartial);
  const squared: number[] = [];
  for (let g = 0; g < G; g++) {
    const here = at(group.prefixPartial) + g * B * D * 4;
    kernels.rowError(g > 0 ? here - B * D * 4 : at(group.y), here, here, at(group.squared), B, D);
    squared.push(total(group.squared));
  }
  group.error.set(group.prefixPartial.subarray((G - 1) * B * D, G * B * D));
  return squared;
}
