/**
 * Principal components: the best linear reconstruction from K numbers, the control for an SAE with K active latents.
 *
 *     C = Q Λ Q^T (eigenvalues descending),   P [K,D] = first K eigenvectors as rows
 *     x̂ = x̄ + (x − x̄) P^T P
 *
 * FVU of the fitted rows = Σ_{i>K} λ_i / Σ λ_i (Eckart–Young). Note that an SAE chooses its K directions per token and PCA once.
 */
import { EigenvalueDecomposition, Matrix } from 'ml-matrix';
import { createGraphBuilder, createSession } from '../graph/index.ts';
import { getPlatform } from '../platform/index.ts';
import type { Moments } from './moments.ts';

/** The full symmetric eigenproblem is cubic: some seconds at this width, minutes beyond. */
export const WIDEST_PCA = 1024;

export type Pca = {
  readonly D: number;
  readonly K: number;
  readonly mean: Float64Array;
  /** Unit rows [K,D], by falling variance. */
  readonly components: Float64Array;
  /** All D eigenvalues, falling. */
  readonly eigenvalues: Float64Array;
};

/**
 * Fits PCA to moments, which should come from rows outside the held-out text.
 *
 * @throws RangeError when K > D, D > 1024, or no rows were taken
 */
export function fitPca(moments: Moments, K: number): Pca {
  const { D, n } = moments;
  if (!(K >= 1 && K <= D))
    throw new RangeError(`PCA: K = ${K} components of width D = ${D}; choose K from 1 to ${D}.`);
  if (D > WIDEST_PCA)
    throw new RangeError(`PCA: width ${D} is above ${WIDEST_PCA}; leave the PCA control out for this model.`);
  if (n < 2) throw new RangeError(`PCA: fitted on ${n} rows; give it at least 2, better ${10 * D}.`);
  const matrix = Matrix.from1DArray(D, D, moments.covariance());
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(matrix, {
    assumeSymmetric: true,
  });
  const order = realEigenvalues.map((_, i) => i).sort((a, b) => realEigenvalues[b]! - realEigenvalues[a]!);
  const components = new Float64Array(K * D);
  for (let k = 0; k < K; k++)
    for (let d = 0; d < D; d++) components[k * D + d] = eigenvectorMatrix.get(d, order[k]!);
  return {
    D,
    K,
    mean: moments.mean(),
    components,
    eigenvalues: Float64Array.from(order, (i) => realEigenvalues[i]!),
  };
}

/** x̂ [B,D] of rows x [B,D], by the engine in float32. */
export type PcaReconstruction = (x: Float32Array, B: number) => Promise<Float32Array>;

/** Opens the reconstruction x̄ + (x − x̄) P^T P; it lives as long as it is referenced. Needs a platform. */
export async function openPca({ D, K, mean, components }: Pca): Promise<PcaReconstruction> {
  const g = createGraphBuilder();
  const x = g.input('x', 'float32', ['B', D]);
  const centre = g.float32([D], Float32Array.from(mean));
  const P = g.float32([K, D], Float32Array.from(components));
  g.named('xhat', g.gemm(g.gemm(g.sub(x, centre), P, undefined, { transB: true }), P, centre));
  const session = await createSession(g.graph, ['xhat']);
  return async (data, B) => {
    const { xhat } = await session.run({ x: new (getPlatform().ort.Tensor)('float32', data, [B, D]) });
    return xhat!.data as Float32Array;
  };
}
