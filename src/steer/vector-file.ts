/**
 * A direction of one's own in a file: safetensors with
 *
 *     vector [D]  F32        metadata: hook, model, model_hash, method, mean (z of the negative texts), …
 */
import { joinChunks, readSafetensors, toFloat32, writeSafetensors } from '../formats/index.ts';
import type { ByteSource } from '../platform/types.ts';

export type SteeringVector = {
  readonly vector: Float32Array;
  /** Where it belongs. */
  readonly hook: string;
  readonly metadata: Readonly<Record<string, string>>;
};

/** @throws when it is no safetensors file with a tensor `vector` [D] and a hook */
export async function readVector(source: ByteSource, name: string): Promise<SteeringVector> {
  const file = await readSafetensors(source, name);
  const entry = file.tensors.get('vector');
  const { hook } = file.metadata;
  if (entry?.shape.length !== 1 || hook === undefined)
    throw new Error(
      `${name} is no steering vector: expected a tensor "vector" [D] and its hook in the metadata, found ${[...file.tensors.values()].map((one) => `${one.name} [${one.shape.join(', ')}]`).join(', ') || 'no tensors'}${hook === undefined ? ' and no hook' : ''}. saekit vector writes one.`,
    );
  const vector = toFloat32(await file.read('vector'), entry.dtype, 'vector');
  if (vector.some((value) => !Number.isFinite(value)))
    throw new Error(`${name}: the vector holds numbers that are not finite.`);
  return { vector, hook, metadata: file.metadata };
}

export const encodeVector = ({ vector, hook, metadata }: SteeringVector): Uint8Array =>
  joinChunks(
    writeSafetensors(
      { vector: { dtype: 'F32', shape: [vector.length], data: vector } },
      { ...metadata, hook },
    ),
  );
