/** How the steering bus reads the latents of an SAE: the selection of its variant as four numbers a latent. */
import type { LatentCode } from '../models/steering/types.ts';
import { describeSae, outputWidth, ownSelection, subtractsBias } from '../sae/check.ts';
import type { Sae } from '../sae/types.ts';

const codes = new WeakMap<Sae, LatentCode>();

/** The same object for the same SAE, so that all its latents share one encoder. @throws as `ownSelection` */
export function latentCode(sae: Sae): LatentCode {
  const known = codes.get(sae);
  if (known) return known;
  const selected = ownSelection(sae);
  const { D, F, inputNorm } = sae.config;
  const selection = new Float32Array(4 * F);
  const [bias, bound, scale, shift] = [0, 1, 2, 3].map((i) => selection.subarray(i * F, (i + 1) * F));
  if (selected.by === 'rank' || selected.bias !== false) bias!.set(sae.b_enc);
  scale!.fill(1);
  if (selected.by === 'threshold') {
    bound!.set(selected.threshold.map(nextUp));
    if (selected.scale) scale!.set(selected.scale);
    if (selected.shift) shift!.set(selected.shift);
  }
  const code: LatentCode = {
    name: describeSae(sae.config),
    ...{ D, F, Dout: outputWidth(sae.config), norm: inputNorm },
    ...{ W_enc: sae.W_enc, bias: subtractsBias(sae.config) ? sae.b_dec : undefined, selection },
    rank: selected.by === 'rank' ? { K: selected.K, signed: selected.signed } : undefined,
    ...{ W_dec: sae.W_dec, b_dec: sae.b_dec, W_skip: sae.W_skip, b_token: sae.b_token },
  };
  codes.set(sae, code);
  return code;
}

/** The least float32 above x: pre > x and pre >= nextUp(x) are the same. */
function nextUp(x: number): number {
  const bits = new Int32Array(1);
  const number = new Float32Array(bits.buffer);
  number[0] = x;
  if (number[0] === 0) return 2 ** -149;
  bits[0]! += number[0] > 0 ? 1 : -1;
  return number[0];
}
