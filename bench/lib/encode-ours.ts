/** Encoding 4,096 rows with a TopK SAE of 2 x 33.5 million parameters, whose encoder has the directions that the rows are made of. */
import { createEncoder, type Sae, type Screening, type SparseCode } from '../../src/sae/index.ts';
import { createRng } from '../../src/shared/rng.ts';
import type { Contender } from './contender.ts';
import { directionsOf, mixture } from './mixture.ts';

export const encodeSizes = { B: 4096, D: 2048, F: 16384, K: 64 };

const rowsOf = { directions: encodeSizes.F, active: encodeSizes.K };
let rows: Float32Array | undefined;
/** What the first contender of a kind of weights found: the others must find the same. */
const codes = new Map<boolean, SparseCode>();

/** `trained`: the encoder's rows are the directions, with the length 1 of a decoder's; else random ones. */
export async function oursEncode(
  name: string,
  threads: number,
  { screen, trained = true }: { screen?: Screening; trained?: boolean } = {},
): Promise<Contender> {
  const { B, D, F, K } = encodeSizes;
  const x = (rows ??= mixture(B, D, rowsOf));
  const { f, offset } = directionsOf(D, rowsOf);
  const rng = createRng('untrained');
  const W_enc = trained ? f : f.map(() => rng.normal() / Math.sqrt(D));
  const sae: Sae = {
    config: { architecture: 'topk', D, F, K, metadata: {} },
    ...{ W_enc, W_dec: W_enc, b_enc: new Float32Array(F), b_dec: offset },
  };
  const encoder = await createEncoder(sae, { threads, screen });
  const about: Record<string, unknown> = { ...encodeSizes, screen: screen ?? null };
  return {
    name,
    about,
    async turn() {
      const start = performance.now();
      const code = await encoder.encode(x);
      const ms = performance.now() - start;
      Object.assign(about, encoder.screened?.());
      const known = codes.get(trained);
      if (!known) codes.set(trained, code);
      else requireSame(code, known);
      return ms;
    },
    close: () => encoder.close(),
  };
}

/** The engine's product and ours add up in another order: neighbours in a code may change places, few do. */
function requireSame(code: SparseCode, known: SparseCode): void {
  let differing = 0;
  for (const [j, latent] of code.indices.entries()) if (latent !== known.indices[j]) differing++;
  if (differing > code.indices.length / 1000)
    throw new Error(`${differing} of ${code.indices.length} latents differ: the race is off.`);
}
