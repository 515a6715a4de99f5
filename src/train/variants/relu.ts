/**
 * ReLU with a sparsity penalty (Bricken et al. 2023), decoder rows of unit norm.
 *
 *   z      = ReLU(pre)
 *   L      = mseScale / (B D) sum over b of (|e|^2 + lambda sum_i z_i^p)      p = 1; annealed: Karvonen et al. 2024
 *   dL/dpre = -g e . w_dec + c p z^(p-1)  where z > 0,     g = 2 mseScale / (B D),  c = lambda mseScale / (B D)
 *
 * With lambda so, x in the units of training (mean |x - mean x| = sqrt(D)) makes the loss that of the paper but for one factor.
 */
import { type Above, backwardAbove, forwardAbove } from '../above.ts';
import type { Variant } from './types.ts';

const above: Above = { kind: 0, scalars: [] };

export const relu: Variant = {
  selection: 'threshold',
  parameters: {},
  penalised: true,
  // A dead latent is one whose pre is never positive: ReLU(TopK) of it is 0.
  auxk: false,
  settings: () => ({ architecture: 'relu' }),
  forward: (context, input) => forwardAbove(context, input, above),
  backward: (context, input) => backwardAbove(context, input, above),
};
