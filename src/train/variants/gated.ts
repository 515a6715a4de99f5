/**
 * Gated SAE (Rajamanoharan et al. 2024, "Improving dictionary learning with gated sparse autoencoders").
 *
 *   c      = (x - b_dec) W_enc^T
 *   pi     = ReLU(c + b_gate),  gate = [pi > 0]             b_gate stands where others have b_enc
 *   z      = gate ReLU(e^r c + b_mag)                       magnitudes share c, up to scale and shift
 *   e'     = x - b_dec - pi W_dec                           the gate's own reconstruction; W_dec and b_dec are held in it
 *   L      = mseScale / (B D) sum over b of (|e|^2 + |e'|^2 + lambda sum_i pi_i^p)
 *   dL/dpi = -g e' . w_dec + c' p pi^(p-1)  where pi > 0;   dL/dz = -g e . w_dec  where z > 0
 *   dL/dc  = dL/dpi + e^r dL/dz,  dL/db_gate = sum dL/dpi,  dL/db_mag = sum dL/dz,  dL/dr = sum e^r c dL/dz
 */
import { type Above, backwardAbove, forwardAbove } from '../above.ts';
import type { Variant } from './types.ts';

const above: Above = {
  kind: 2,
  gate: { scale: 'r_mag', bias: 'b_mag' },
  scalars: ['b_mag', 'r_mag'],
};

export const gated: Variant = {
  selection: 'threshold',
  parameters: { b_mag: { start: () => 0, scales: true }, r_mag: { start: () => 0, scales: false } },
  penalised: true,
  gate: true,
  // As ReLU's, a dead gate is never positive.
  auxk: false,
  settings: () => ({ architecture: 'gated' }),
  forward: (context, input) => forwardAbove(context, input, above),
  backward: (context, input) => backwardAbove(context, input, above),
};
