/** Where an SAE acts. */
import type { TokenBatch } from '../models/types.ts';
import type { SparseCode } from '../sae/types.ts';

/** 1 at the positions [B T] where an SAE acts: real tokens, special ones left out if they are named. */
export function actsAt({ ids, mask }: TokenBatch, specialIds: ReadonlySet<number> | undefined): Uint8Array {
  return mask.map((real, i) => (real && !specialIds?.has(ids[i]!) ? 1 : 0));
}

/** Empties the rows of a code where an SAE does not act. */
export function clearRows({ K, values, indices }: SparseCode, acts: Uint8Array): void {
  for (const [row, on] of acts.entries()) {
    if (on) continue;
    values.fill(0, row * K, (row + 1) * K);
    indices.fill(0, row * K, (row + 1) * K);
  }
}
