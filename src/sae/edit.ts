/**
 * One latent of a code, read or changed:  z'[b,f] = change(z[b,f], b),  every other latent as it was.
 *
 *     ablate  () => 0        clamp  () => 5        add  (value) => value + 2        one row only  (value, row) => (row === 7 ? 0 : value)
 */
import type { SparseCode } from './types.ts';

/** The width of the SAE is not in its code: a latent beyond it is 0 everywhere. */
function checkLatent(latent: number): void {
  if (!(Number.isInteger(latent) && latent >= 0))
    throw new RangeError(`Latent ${latent} is not there: expected a whole number from 0 on.`);
}

/** The activations [B] of one latent: its column of the dense code. @throws for what is no number of a latent */
export function latentColumn({ B, K, values, indices }: SparseCode, latent: number): Float32Array {
  checkLatent(latent);
  const column = new Float32Array(B);
  for (const [slot, value] of values.entries())
    if (indices[slot] === latent && value !== 0) column[Math.floor(slot / K)] = value;
  return column;
}

/**
 * A copy of the code in which latent f has other values. Slots keep their places, so they may no longer stand largest first; where a
 * latent is turned on in a row that has no free slot, the copy has K + 1 slots per row. Values may become negative: `decode` takes them.
 *
 * @throws for what is no number of a latent, and for values that are not finite
 */
export function editLatent(
  { B, K, values, indices, context }: SparseCode,
  latent: number,
  change: (value: number, row: number) => number,
): SparseCode {
  checkLatent(latent);
  const after = new Float32Array(B);
  const slots = new Int32Array(B);
  for (let b = 0; b < B; b++) {
    const own = values.subarray(b * K, (b + 1) * K);
    const found = own.findIndex((value, k) => value !== 0 && indices[b * K + k] === latent);
    after[b] = change(found < 0 ? 0 : own[found]!, b);
    if (!Number.isFinite(after[b]))
      throw new RangeError(`Latent ${latent} of row ${b} would be ${after[b]}, expected a finite number.`);
    // A slot of value 0 is free; K stands for one more slot.
    const free = own.indexOf(0);
    slots[b] = found >= 0 ? found : after[b] === 0 ? -1 : free >= 0 ? free : K;
  }
  const K2 = slots.includes(K) ? K + 1 : K;
  const edited = {
    ...{ B, K: K2, values: new Float32Array(B * K2), indices: new Int32Array(B * K2) },
    ...(context ? { context } : {}),
  };
  for (let b = 0; b < B; b++) {
    edited.values.set(values.subarray(b * K, (b + 1) * K), b * K2);
    edited.indices.set(indices.subarray(b * K, (b + 1) * K), b * K2);
    if (slots[b]! < 0) continue;
    edited.values[b * K2 + slots[b]!] = after[b]!;
    edited.indices[b * K2 + slots[b]!] = latent;
  }
  return edited;
}
