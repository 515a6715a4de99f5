/**
 * L0 = mean over rows of |{k : z_bk != 0}|. A TopK code may hold zeros (ReLU after TopK), so L0 can be below K.
 */
import type { SparseCode } from '../sae/types.ts';

/** Number of active latents of row r. */
export function rowL0({ values, K }: SparseCode, r: number): number {
  let active = 0;
  for (let i = r * K; i < (r + 1) * K; i++) if (values[i] !== 0) active++;
  return active;
}
