/** The things that can be evaluated, all of one kind: give activations, get reconstructions. */
import {
  activePerRow,
  type DecodeOptions,
  decode,
  encode,
  type Sae,
  type SaeConfig,
  type SparseCode,
} from '../sae/index.ts';
import { openPca, type Pca, type PcaReconstruction } from './pca.ts';
import type { Candidate } from './types.ts';

/** What stands in for encoder and decoder, for an SAE of another kind. Either may be asynchronous. */
export type SaeFunctions = {
  encode(sae: Sae, x: Float32Array, B: number): SparseCode | Promise<SparseCode>;
  decode(sae: Sae, code: SparseCode, options: DecodeOptions): Float32Array | Promise<Float32Array>;
};

const own: SaeFunctions = { encode: (sae, x) => encode(sae, x), decode };

/**
 * An SAE as a candidate. A frozen-decoder SAE of the same budget is one too, with kind 'control'.
 *
 * @example saeCandidate('SAE', sae)
 */
export function saeCandidate(
  name: string,
  sae: Sae,
  functions: SaeFunctions = own,
  kind: Candidate['kind'] = 'sae',
): Candidate {
  return {
    name,
    kind,
    latents: sae.config.F,
    async reconstruct(x, B, ids) {
      const code = await functions.encode(sae, x, B);
      return { xhat: await functions.decode(sae, code, { x, ...(ids ? { ids } : {}) }), code };
    },
  };
}

/** Components that PCA, the control of an SAE, gets: its active latents per row; 32 where the SAE does not say how many. */
export const pcaRank = (config: SaeConfig): number => Math.max(1, Math.round(activePerRow(config) ?? 32));

/** PCA with K components as a candidate. */
export function pcaCandidate(pca: Pca, name = `PCA-${pca.K}`): Candidate {
  let reconstruction: Promise<PcaReconstruction> | undefined;
  return {
    name,
    kind: 'control',
    async reconstruct(x, B) {
      reconstruction ??= openPca(pca);
      return { xhat: await (await reconstruction)(x, B) };
    },
  };
}
