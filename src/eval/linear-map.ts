/**
 * The best linear map from what a transcoder reads to what it gives: its control, as PCA is that of an SAE.
 *
 *     ŷ = ȳ + (x − x̄) A,   A [D,Dout] = (C_xx + ε I)^-1 C_xy          C of rows [x,y] side by side, ε = 1e-6 mean diag C_xx
 *
 * It has no K: what it leaves is what needs something that is not linear.
 */
import { Matrix, solve } from 'ml-matrix';
import { createGraphBuilder, createSession } from '../graph/index.ts';
import { getPlatform } from '../platform/index.ts';
import type { Moments } from './moments.ts';
import type { Candidate } from './types.ts';

/** @param moments of rows [x,y], D + Dout wide, from outside the held-out text */
export function linearMapCandidate(moments: Moments, D: number, name = 'linear map'): Candidate {
  const C = Matrix.from1DArray(moments.D, moments.D, moments.covariance());
  const Dout = moments.D - D;
  const Cxx = C.subMatrix(0, D - 1, 0, D - 1);
  const ridge = (1e-6 * Cxx.trace()) / D;
  for (let d = 0; d < D; d++) Cxx.set(d, d, Cxx.get(d, d) + ridge);
  const A = solve(Cxx, C.subMatrix(0, D - 1, D, moments.D - 1)).to1DArray();
  const mean = Float32Array.from(moments.mean());
  let session: ReturnType<typeof open> | undefined;

  async function open() {
    const g = createGraphBuilder();
    const x = g.input('x', 'float32', ['B', D]);
    const centred = g.sub(x, g.float32([D], mean.slice(0, D)));
    const map = g.float32([D, Dout], Float32Array.from(A));
    g.named('yhat', g.gemm(centred, map, g.float32([Dout], mean.slice(D))));
    return await createSession(g.graph, ['yhat']);
  }

  return {
    name,
    kind: 'control',
    async reconstruct(x, B) {
      session ??= open();
      const run = (await session).run({ x: new (getPlatform().ort.Tensor)('float32', x, [B, D]) });
      return { xhat: (await run).yhat!.data as Float32Array };
    },
  };
}
