/**
 * One file of a cache of sparse latents, as EleutherAI's delphi writes it: what an SAE made of every position of every sequence.
 *
 *     locations    [n,3] u16, u32 or i64: sequence, position, latent - first     sorted by sequence, then position
 *     activations  [n]   f16 (or another float)
 *     tokens       [S,T] integers, optional
 *
 * A latent that is absent at a position is 0 there: delphi leaves out |z| <= 1e-5.
 */
import {
  type FloatDtype,
  type IntegerDtype,
  isFloat,
  isInteger,
  readIntegers,
  readRegion,
  shapeText,
} from './rows.ts';
import type { Safetensors, TensorEntry } from './safetensors.ts';

/** Entries [n]: latent `latent[i]` had `value[i]` at position `position[i]` of sequence `sequence[i]`. */
export type LatentEntries = {
  readonly sequence: Int32Array;
  readonly position: Int32Array;
  readonly latent: Int32Array;
  readonly value: Float32Array;
};

/** One file: the latents [first, end) of the SAE. */
export type LatentSplit = {
  readonly name: string;
  readonly first: number;
  /** Entries in the file. */
  readonly count: number;
  /** [S,T] of the tokens, when they are stored. */
  readonly tokenShape: readonly [number, number] | undefined;
  /** Entries [from, to). */
  entries(from: number, to: number): Promise<LatentEntries>;
  /** Token ids [from, from + count) of the flat [S T]. */
  tokens(from: number, count: number): Promise<Int32Array>;
};

/** Whether a safetensors file is such a cache. */
export const isLatentCache = ({ tensors }: Safetensors): boolean =>
  tensors.get('locations')?.shape[1] === 3 && tensors.get('activations')?.shape.length === 1;

/** Entries read at once where a file is gone through. */
export const ENTRIES_AT_ONCE = 2 ** 20;

/** Opens one file of a cache. `first` is the latent that the file calls 0. Throws when its tensors do not belong together. */
export function openLatentSplit(file: Safetensors, name: string, first: number): LatentSplit {
  const need = (tensor: string): TensorEntry => {
    const entry = file.tensors.get(tensor);
    if (!entry)
      throw new Error(
        `${name}: no tensor ${tensor}; a delphi cache has locations, activations and mostly tokens`,
      );
    return entry;
  };
  const [locations, activations, tokens] = [
    need('locations'),
    need('activations'),
    file.tensors.get('tokens'),
  ];
  const count = activations.shape[0] ?? 0;
  if (
    !isInteger(locations.dtype) ||
    locations.shape.length !== 2 ||
    locations.shape[1] !== 3 ||
    locations.shape[0] !== count
  )
    throw new Error(
      `${name}: locations are ${locations.dtype} ${shapeText(locations.shape)}, activations ${shapeText(activations.shape)}; expected integers [n, 3] and [n]`,
    );
  if (!isFloat(activations.dtype) || activations.shape.length !== 1)
    throw new Error(
      `${name}: activations are ${activations.dtype} ${shapeText(activations.shape)}; expected floats [n]`,
    );
  if (tokens && (tokens.shape.length !== 2 || !isInteger(tokens.dtype)))
    throw new Error(
      `${name}: tokens are ${tokens.dtype} ${shapeText(tokens.shape)}; expected integers [sequences, positions]`,
    );
  const { source } = file;
  const values = {
    source,
    start: activations.start,
    rows: count,
    D: 1,
    dtype: activations.dtype as FloatDtype,
  };
  return {
    name,
    first,
    count,
    tokenShape: tokens && [tokens.shape[0]!, tokens.shape[1]!],
    async entries(from, to) {
      const n = to - from;
      const flat = await readIntegers(
        { source, start: locations.start, dtype: locations.dtype as IntegerDtype },
        from * 3,
        n * 3,
      );
      const value = new Float32Array(n);
      await readRegion(values, from, n, value);
      const sequence = new Int32Array(n);
      const position = new Int32Array(n);
      const latent = new Int32Array(n);
      for (let i = 0; i < n; i++) {
        sequence[i] = flat[3 * i]!;
        position[i] = flat[3 * i + 1]!;
        latent[i] = flat[3 * i + 2]! + first;
      }
      return { sequence, position, latent, value };
    },
    tokens: (from, n) => {
      if (!tokens) throw new Error(`${name}: no tokens are stored`);
      return readIntegers({ source, start: tokens.start, dtype: tokens.dtype as IntegerDtype }, from, n);
    },
  };
}
