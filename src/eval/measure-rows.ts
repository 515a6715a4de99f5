/** The metrics of rows: every candidate reconstructs, every reconstruction is compared with what the model had. */
import type { PackedRows } from '../data/types.ts';
import { rowCosine } from './cosine.ts';
import { squaredError } from './fvu.ts';
import { rowL0 } from './l0.ts';
import type { Measures } from './measures.ts';
import type { Candidate, ObservedRows } from './types.ts';

export /** One batch of measured rows. */
type Rows = {
  readonly packed: PackedRows;
  readonly positions: Int32Array;
  /** [N,D] */
  readonly x: Float32Array;
  /** [N,Dout], what is compared with; x unless a transcoder gives another place. */
  readonly y?: Float32Array;
  /** Key of the bootstrap unit of a flat position. */
  readonly unitOf: (position: number) => number;
};

/** FVU, cosine, L0 and firings of every candidate; returns what the splice and the observer need. */
export async function measureRows(
  { rows, scatter, tallies }: Measures,
  candidates: readonly Candidate[],
  batch: Rows,
  before: number,
) {
  const { x, y = x, positions, packed, unitOf } = batch;
  const N = positions.length;
  const D = y.length / N;
  const units = Int32Array.from(positions, (i) => rows.indexOf(unitOf(i)));
  for (const u of units) rows.addAt(u, 0, 1);
  scatter.add(y, units, N);
  const ids = Int32Array.from(positions, (i) => packed.ids[i]!);
  const reconstructions: Float32Array[] = [];
  let firstCode: ObservedRows['code'];
  for (const [c, { name, reconstruct }] of candidates.entries()) {
    const { xhat, code } = await reconstruct(x, N, ids);
    if (xhat.length !== N * D)
      throw new Error(`evaluate: ${name} returned ${xhat.length} numbers for ${N} rows of width ${D}.`);
    const tally = tallies[c];
    if (code !== undefined && tally === undefined)
      throw new Error(`evaluate: ${name} returned a code; set its number of latents.`);
    for (let r = 0; r < N; r++) {
      const error = squaredError(y, xhat, r, D);
      if (!Number.isFinite(error))
        throw new Error(`evaluate: ${name} or its input is not finite at measured row ${before + r}.`);
      rows.addAt(units[r]!, 2 + 3 * c, error);
      rows.addAt(units[r]!, 3 + 3 * c, rowCosine(y, xhat, r, D));
      if (code === undefined || tally === undefined) continue;
      rows.addAt(units[r]!, 4 + 3 * c, rowL0(code, r));
      const token = packed.ids[positions[r]!]!;
      for (let k = r * code.K; k < (r + 1) * code.K; k++)
        if (code.values[k] !== 0) tally.add(code.indices[k]!, token);
    }
    reconstructions.push(xhat);
    firstCode ??= code;
  }
  return { reconstructions, code: firstCode };
}
