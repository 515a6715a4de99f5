/** The things that can be evaluated, all of one kind: give activations, get reconstructions. */
import { decode, encode, type Sae, type SparseCode } from '../sae/index.ts';
import { openPca, type Pca, type PcaReconstruction } from './pca.ts';
import type { Candidate } from './types.ts';

/** What stands in for encoder and decoder, for an SAE of another kind. Either may be asynchronous. */
export type SaeFunctions = {
  encode(sae: Sae, x: Float32Array, B: number): SparseCode | Promise<SparseCode>;
  decode(sae: Sae, code: SparseCode): Float32Array | Promise<Float32Array>;
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
    async reconstruct(x, B) {
      const code = await functions.encode(sae, x, B);
      return { xhat: await functions.decode(sae, code), code };
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
