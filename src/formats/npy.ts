/**
 * NumPy's array file (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html), versions 1 to 3:
 *
 *     93 "NUMPY" | major, minor | u16 (v1) or u32 (v2, v3) n | n bytes: {'descr': '<f4', 'fortran_order': False, 'shape': (N, D), } | data
 *
 * Not here: structured arrays and pickled objects, which nobody needs for activations and which could run code.
 */
import type { ByteSource } from '../platform/types.ts';
import {
  type FloatDtype,
  type IntegerDtype,
  isFloat,
  isInteger,
  type RowReader,
  readIntegers,
  readRegion,
  rowShape,
  shapeText,
} from './rows.ts';
import { DTYPE_BYTES, MAX_RANK } from './safetensors.ts';

/** NumPy refuses above 10,000 itself, unless it trusts the file. */
const MAX_NPY_HEADER = 65_536;

const DESCR: Readonly<Record<string, FloatDtype | IntegerDtype>> = {
  f2: 'F16',
  f4: 'F32',
  f8: 'F64',
  u1: 'U8',
  i1: 'I8',
  u2: 'U16',
  i2: 'I16',
  u4: 'U32',
  i4: 'I32',
  u8: 'U64',
  i8: 'I64',
};

export type NpyArray = {
  readonly source: ByteSource;
  /** What to call it in messages. */
  readonly name: string;
  readonly dtype: FloatDtype | IntegerDtype;
  readonly bigEndian: boolean;
  readonly order: 'C' | 'F';
  readonly shape: readonly number[];
  /** Where the data begins in the source. */
  readonly start: number;
};

function dtypeOf(descr: string, name: string): { dtype: NpyArray['dtype']; bigEndian: boolean } {
  const match = /^'([<>|=])([a-zA-Z])(\d+)'$/.exec(descr);
  const dtype = match && DESCR[`${match[2]}${match[3]}`];
  if (dtype) return { dtype, bigEndian: match[1] === '>' };
  const hint = descr.includes('O')
    ? 'It holds Python objects, which only Python can read: save a float array'
    : descr === "'|V2'"
      ? 'NumPy writes bfloat16 so, and loses its name: save x.astype(np.float32), or use safetensors'
      : 'Convert it with x.astype(np.float32)';
  throw new Error(`${name}: the array has dtype ${descr}; expected float16, float32 or float64. ${hint}.`);
}

/**
 * Reads and checks the header of one array that fills `source`.
 *
 * @throws when it is no .npy, truncated, followed by other bytes, or of a dtype that is no number
 */
export async function readNpy(source: ByteSource, name: string): Promise<NpyArray> {
  const head = await source.slice(0, Math.min(12, source.byteLength));
  if (head.length < 10 || head[0] !== 0x93 || String.fromCharCode(...head.subarray(1, 6)) !== 'NUMPY')
    throw new Error(`${name}: not a .npy file (${source.byteLength} bytes). Save it with np.save.`);
  const major = head[6]!;
  if (major < 1 || major > 3)
    throw new Error(`${name}: .npy version ${major}.${head[7]}; known are 1, 2 and 3`);
  const prefix = major === 1 ? 10 : 12;
  const length =
    major === 1 ? head[8]! | (head[9]! << 8) : new DataView(head.buffer, head.byteOffset).getUint32(8, true);
  if (length > MAX_NPY_HEADER)
    throw new Error(`${name}: the header says it is ${length} bytes long, more than ${MAX_NPY_HEADER}`);
  const start = prefix + length;
  if (start > source.byteLength)
    throw new Error(`${name}: truncated within its header (${source.byteLength} bytes). Copy it again.`);
  const header = new TextDecoder().decode(await source.slice(prefix, start));

  const order = /'fortran_order'\s*:\s*(True|False)/.exec(header)?.[1];
  const sizes = /'shape'\s*:\s*\(([\d,\sL]*)\)/.exec(header)?.[1];
  const descr = /'descr'\s*:\s*('[^']*'|\[.*?\])\s*,/.exec(header)?.[1];
  if (!order || sizes === undefined || !descr)
    throw new Error(`${name}: damaged .npy header: ${JSON.stringify(header.slice(0, 120))}`);
  const shape = (sizes.match(/\d+/g) ?? []).map(Number);
  if (shape.length > MAX_RANK || !shape.every(Number.isSafeInteger))
    throw new Error(`${name}: shape ${shapeText(shape)}; expected at most ${MAX_RANK} sizes`);
  const { dtype, bigEndian } = dtypeOf(descr, name);

  const end = start + shape.reduce((product, n) => product * n, 1) * DTYPE_BYTES[dtype];
  if (end > source.byteLength)
    throw new Error(
      `${name}: truncated: ${dtype} ${shapeText(shape)} ends at byte ${end}, the file has ${source.byteLength} (${end - source.byteLength} missing). Copy it again.`,
    );
  if (end < source.byteLength)
    throw new Error(
      `${name}: ${source.byteLength - end} bytes after the array. Several arrays in one file belong into an .npz, or into one file each.`,
    );
  return { source, name, dtype, bigEndian, order: order === 'True' ? 'F' : 'C', shape, start };
}

/**
 * The rows of an array [N,D] or [N,T,D] of floats; `tokens` is an integer array with one number per row.
 *
 * @throws when it has another shape or holds integers
 */
export function npyRows(array: NpyArray, tokens?: NpyArray): RowReader {
  const { source, name, dtype, shape, start, bigEndian } = array;
  if (!isFloat(dtype))
    throw new Error(
      `${name}: the array holds integers (${dtype}); expected float16, float32 or float64. If they are quantized, multiply by their scale where it is known.`,
    );
  const { rows, D, layout } = rowShape(shape, name);
  if (array.order === 'F' && shape.length > 2)
    throw new Error(
      `${name}: ${shapeText(shape)} in Fortran order scatters every row over the file. Save np.ascontiguousarray(x).`,
    );
  const region = { source, start, rows, D, dtype, order: array.order, bigEndian };
  const reader: RowReader = {
    rows,
    D,
    stored: `${dtype} ${layout}`,
    read: (from, count, into) => readRegion(region, from, count, into),
  };
  if (!tokens) return reader;
  const ids = tokens.dtype as IntegerDtype;
  return { ...reader, readTokens: (from, count) => readIntegers({ ...tokens, dtype: ids }, from, count) };
}

/** Whether an array can be the token ids of `rows` rows. */
export const isTokenArray = ({ dtype, shape, bigEndian, order }: NpyArray, rows: number): boolean =>
  isInteger(dtype) &&
  !bigEndian &&
  (order === 'C' || shape.length === 1) &&
  shape.reduce((product, n) => product * n, 1) === rows;
