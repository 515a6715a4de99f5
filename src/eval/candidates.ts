/** The things that can be evaluated, all of one kind: give activations, get reconstructions. */
import type { Sae, SparseCode } from '../sae/types.ts';
import { openPca, type Pca, type PcaReconstruction } from './pca.ts';
import type { Candidate } from './types.ts';

/** Encode and decode come from src/sae (injected: no sideways imports of values). Either may be asynchronous. */
export type SaeFunctions = {
  encode(sae: Sae, x: Float32Array, B: number): SparseCode | Promise<SparseCode>;
  decode(sae: Sae, code: SparseCode): Float32Array | Promise<Float32Array>;
};

/**
 * An SAE as a candidate. A frozen-decoder SAE of the same budget is one too, with kind 'control'.
 *
 * @example saeCandidate('SAE', sae, { encode, decode })
 */
export function saeCandidate(
  name: string,
  sae: Sae,
  { encode, decode }: SaeFunctions,
  kind: Candidate['kind'] = 'sae',
): Candidate {
  return {
    name,
    kind,
    latents: sae.config.F,
    async reconstruct(x, B) {
      const code = await encode(sae, x, B);
      return { xhat: await decode(sae, code), code };
    },
  };
}

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
