/**
 * Rows of floats x [N,D] as they lie in a file, read by range:
 *
 *     x[i,j] at  start + (i D + j) w    row-major ("C")
 *                start + (j N + i) w    column-major ("Fortran")        w bytes per element
 *
 * Almost every format that stores activations comes down to such regions (safetensors, npy, npz, Arrow); those that pack them otherwise
 * (Parquet, sparse caches) give the same `RowReader`.
 */
import type { ByteSource } from '../platform/types.ts';
import { bfloat16ToFloat32, float16ToFloat32 } from './float16.ts';
import { DTYPE_BYTES, elementsOf } from './safetensors.ts';

/** The float types that activations come in. */
export const FLOAT_DTYPES = ['F16', 'BF16', 'F32', 'F64'] as const;
export type FloatDtype = (typeof FLOAT_DTYPES)[number];
export const INTEGER_DTYPES = ['U8', 'I8', 'U16', 'I16', 'U32', 'I32', 'U64', 'I64'] as const;
export type IntegerDtype = (typeof INTEGER_DTYPES)[number];

/** Wider than any model; a header that says more is damaged or hostile. */
export const MAX_WIDTH = 2 ** 20;
/** A block is read in pieces of at most this size. */
const MAX_READ_BYTES = 64 * 2 ** 20;

/** Rows that can be read in any order. */
export type RowReader = {
  readonly rows: number;
  readonly D: number;
  /** What is stored, for messages and comparison between files: `F32 [N,T,D]`. */
  readonly stored: string;
  /** Rows [start, start + count) into `into` [count,D]. */
  read(start: number, count: number, into: Float32Array): Promise<void>;
  /** Token ids of those rows, where the file has them. */
  readTokens?(start: number, count: number): Promise<Int32Array>;
  /** Where the file has more rows than are read: which of them row `i` is. */
  rowInFile?(i: number): number;
};

/** Where rows lie. */
export type RowRegion = {
  readonly source: ByteSource;
  readonly start: number;
  readonly rows: number;
  readonly D: number;
  readonly dtype: FloatDtype;
  readonly order?: 'C' | 'F';
  readonly bigEndian?: boolean;
};

export const isFloat = (dtype: string): dtype is FloatDtype =>
  (FLOAT_DTYPES as readonly string[]).includes(dtype);
export const isInteger = (dtype: string): dtype is IntegerDtype =>
  (INTEGER_DTYPES as readonly string[]).includes(dtype);

/** `[2, 3]` as people write it. */
export const shapeText = (shape: readonly number[]): string => `[${shape.join(', ')}]`;

/**
 * Reads a shape [N,D] or [N,T,D] as rows of width D.
 *
 * @param what names file and array in messages
 * @throws for any other number of dimensions, saying how to bring it into shape
 */
export function rowShape(
  shape: readonly number[],
  what: string,
  anyRank = false,
): { rows: number; D: number; layout: string } {
  const D = shape.at(-1);
  if (D === undefined || shape.length < 2 || (shape.length > 3 && !anyRank)) {
    throw new Error(
      `${what} has shape ${shapeText(shape)}; expected [N, D], one row per activation vector, or [N, T, D], sequences of T positions. ${shape.length > 3 ? 'Bring the channels last and reshape it, x.reshape(-1, D), in the program that writes it.' : 'One number per row is nothing to train on.'}`,
    );
  }
  if (D < 1 || D > MAX_WIDTH)
    throw new Error(`${what} has rows of width ${D}; expected 1 to ${MAX_WIDTH} (shape ${shapeText(shape)})`);
  const rows = shape.slice(0, -1).reduce((product, n) => product * n, 1);
  return { rows, D, layout: shape.length === 2 ? '[N,D]' : '[N,T,D]' };
}

function swapBytes(bytes: Uint8Array, width: number): Uint8Array {
  const out = new Uint8Array(bytes.length);
  for (let i = 0; i < bytes.length; i += width)
    for (let k = 0; k < width; k++) out[i + k] = bytes[i + width - 1 - k]!;
  return out;
}

/** Elements [from, to) of a region's flat array into `into`. */
async function elements(
  { source, start, dtype, bigEndian }: RowRegion,
  from: number,
  to: number,
  into: Float32Array,
): Promise<void> {
  const width = DTYPE_BYTES[dtype];
  if (dtype === 'F32' && !bigEndian && source.readInto) {
    await source.readInto(
      start + from * width,
      new Uint8Array(into.buffer, into.byteOffset, into.byteLength),
    );
    return;
  }
  const bytes = await source.slice(start + from * width, start + to * width);
  const data = elementsOf(bigEndian ? swapBytes(bytes, width) : bytes, dtype);
  if (dtype === 'F16') float16ToFloat32(data as Uint16Array, into);
  else if (dtype === 'BF16') bfloat16ToFloat32(data as Uint16Array, into);
  else into.set(data as Float32Array | Float64Array);
}

/** Rows [from, from + count) of a region into `into` [count,D]. */
export async function readRegion(
  region: RowRegion,
  from: number,
  count: number,
  into: Float32Array,
): Promise<void> {
  const { rows, D, dtype, order = 'C' } = region;
  if (order === 'F') {
    // One read per column: what costs is the number of blocks, not their size, so ask for large ones.
    await Promise.all(
      Array.from({ length: D }, async (_, j) => {
        const column = new Float32Array(count);
        await elements(region, j * rows + from, j * rows + from + count, column);
        for (let i = 0; i < count; i++) into[i * D + j] = column[i]!;
      }),
    );
    return;
  }
  const atOnce = Math.max(1, Math.floor(MAX_READ_BYTES / (D * DTYPE_BYTES[dtype])));
  for (let done = 0; done < count; done += atOnce) {
    const n = Math.min(atOnce, count - done);
    const part = into.subarray(done * D, (done + n) * D);
    await elements(region, (from + done) * D, (from + done + n) * D, part);
  }
}

/** Integers [from, from + count) that begin at byte `start`, as 32-bit token ids. */
export async function readIntegers(
  { source, start, dtype }: { source: ByteSource; start: number; dtype: IntegerDtype },
  from: number,
  count: number,
): Promise<Int32Array> {
  const width = DTYPE_BYTES[dtype];
  const data = elementsOf(await source.slice(start + from * width, start + (from + count) * width), dtype);
  // Token ids and masks are small: the low word of a 64-bit integer holds them.
  if (width === 8) {
    const words = new Int32Array(data.buffer, data.byteOffset, count * 2);
    const low = new Int32Array(count);
    for (let i = 0; i < count; i++) low[i] = words[2 * i]!;
    return low;
  }
  return new Int32Array(data as Int32Array);
}
