/**
 * What is indexed: the latents of an SAE, some of them, or directions as if each were a latent,
 *
 *     z = max(0, x · d / |d|)
 */
import { createHash } from 'node:crypto';
import { readSafetensors } from '../../formats/index.ts';
import { openFile } from '../../platform/node.ts';
import { createEncoder, type Sae, type Screening, type SparseCode } from '../../sae/index.ts';
import { UsageError } from '../../shared/errors.ts';
import { elsewhere, type Place } from '../own-place.ts';
import { hashOfSae } from '../sae-files.ts';

export type Subject = {
  readonly F: number;
  /** [F,D] latent-major: what each writes. */
  readonly W_dec: Float32Array;
  /** Those that are kept, when not all. */
  readonly latents?: readonly number[];
  readonly names?: readonly string[];
  readonly hash: string;
  encode(x: Float32Array, B: number): Promise<SparseCode>;
  close(): Promise<void>;
};

/** Whether a latent is in the tables [F]; undefined when all are. */
export function keptOf({ F, latents }: Pick<Subject, 'F' | 'latents'>): Uint8Array | undefined {
  if (!latents) return undefined;
  const kept = new Uint8Array(F);
  for (const latent of latents) kept[latent] = 1;
  return kept;
}

const hashOf = (...parts: readonly (Float32Array | string)[]): string => {
  const hash = createHash('sha256');
  for (const part of parts)
    hash.update(
      typeof part === 'string' ? part : new Uint8Array(part.buffer, part.byteOffset, part.byteLength),
    );
  return hash.digest('hex');
};

/**
 * @param screen absent: with screening where it can be had
 * @throws UsageError for a latent that is not there; Error where codes cannot be screened as was asked
 */
export async function latentsOf(
  sae: Sae,
  chosen?: readonly number[],
  screen?: Screening | 'none',
): Promise<Subject> {
  const { F } = sae.config;
  const wrong = chosen?.find((latent) => latent >= F);
  if (wrong !== undefined) throw new UsageError(`Latent ${wrong} is not there: this SAE has 0 to ${F - 1}.`);
  const latents = chosen && [...new Set(chosen)].sort((a, b) => a - b);
  const plain = () => createEncoder(sae);
  const screened = () => createEncoder(sae, { screen: 'int8' });
  const encoder = await (screen === 'none' ? plain() : screen ? screened() : screened().catch(plain));
  return {
    F,
    W_dec: sae.W_dec,
    ...(latents ? { latents } : {}),
    hash: hashOfSae(sae),
    encode: (x) => encoder.encode(x),
    close: () => encoder.close(),
  };
}

/**
 * Reads directions [D] or [n,D] from a safetensors file; rows of a matrix are named `name.0`, `name.1`, …
 *
 * @param place where they are read: a file that says another hook or model, as those of `saekit vector` do, is not for it
 * @throws UsageError when there is none, or one of another width or place
 */
export async function directionsOf(path: string, D: number, place?: Place): Promise<Subject> {
  const source = await openFile(path);
  try {
    const file = await readSafetensors(source, path);
    const { hook, model_hash: modelHash } = file.metadata;
    const other = place && elsewhere({ hook, modelHash, outputHook: undefined }, place);
    if (other !== undefined)
      throw new UsageError(
        `${path} is of another place: ${other.replaceAll('trained', 'made')}. To index it all the same: --allow-wrong.`,
      );
    const names: string[] = [];
    const rows: Float32Array[] = [];
    for (const [name, { shape }] of file.tensors) {
      if (shape.length < 1 || shape.length > 2 || shape.at(-1) !== D)
        throw new UsageError(
          `${path}: ${name} has shape [${shape.join(', ')}]; directions at this hook are [${D}] or [n, ${D}].`,
        );
      const data = await file.readFloat32(name);
      const n = shape.length === 1 ? 1 : shape[0]!;
      for (let i = 0; i < n; i++) {
        const row = data.subarray(i * D, (i + 1) * D);
        const norm = Math.hypot(...row);
        if (!(norm > 0 && Number.isFinite(norm)))
          throw new UsageError(`${path}: ${name} has a row of length ${norm}, which is no direction.`);
        names.push(shape.length === 1 ? name : `${name}.${i}`);
        rows.push(row.map((value) => value / norm));
      }
    }
    if (rows.length === 0) throw new UsageError(`${path} has no tensors.`);
    const F = rows.length;
    const W_dec = new Float32Array(F * D);
    for (const [f, row] of rows.entries()) W_dec.set(row, f * D);
    return {
      F,
      W_dec,
      names,
      hash: hashOf(names.join('\n'), W_dec),
      encode: async (x, B) => {
        const values = new Float32Array(B * F);
        const indices = new Int32Array(B * F);
        for (let b = 0; b < B; b++)
          for (let f = 0; f < F; f++) {
            let dot = 0;
            for (let d = 0; d < D; d++) dot += x[b * D + d]! * W_dec[f * D + d]!;
            values[b * F + f] = Math.max(0, dot);
            indices[b * F + f] = f;
          }
        return { B, K: F, values, indices };
      },
      close: async () => {},
    };
  } finally {
    await source.close?.();
  }
}
