/**
 * JumpReLU with an L0 penalty and straight-through estimators (Rajamanoharan et al. 2024, "Jumping ahead").
 *
 *   z      = pre [pre > theta],  theta_i >= 0
 *   L      = mseScale / (B D) sum over b of (|e|^2 + lambda sum_i [pre_i > theta_i])
 *   dL/dz  = -g e . w_dec,   dL/dpre = dL/dz [pre > theta]
 *   K      = [ |pre - theta| < eps / 2 ]                   the rectangle of width eps, in which the step counts as a slope
 *   dL/dtheta = - sum over K of (theta dL/dz + c) / eps     c = lambda mseScale / (B D)
 *
 * theta itself is the parameter, not its logarithm. eps and the start of theta are the paper's 0.001, which is meant for x of norm 1; x has
 * norm sqrt(D) here.
 */
import { type Above, backwardAbove, forwardAbove } from '../above.ts';
import type { TrainerConfig } from '../types.ts';
import type { Variant } from './types.ts';

const inUnits = ({ D }: TrainerConfig): number => 0.001 * Math.sqrt(D);

const aboveOf = (config: TrainerConfig): Above => ({
  kind: 1,
  threshold: { parameter: 'threshold', band: Math.fround(config.sparsity?.bandwidth ?? inUnits(config)) },
  counts: true,
  scalars: ['threshold'],
});

export const jumprelu: Variant = {
  selection: 'threshold',
  parameters: { threshold: { start: inUnits, scales: true } },
  penalised: true,
  auxk: true,
  settings: () => ({ architecture: 'jumprelu' }),
  forward: (context, input) => forwardAbove(context, input, aboveOf(context.config)),
  backward: (context, input) => backwardAbove(context, input, aboveOf(context.config)),
};
