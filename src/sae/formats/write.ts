/** What writing has in common, whatever the format. */

/** Numbers in one transposed block: 8 MB. */
const BLOCK = 2 ** 21;

export const bytesOf = (array: Float32Array | BigInt64Array): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

export const jsonBytes = (value: unknown): Uint8Array =>
  new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`);

/**
 * The transpose of a matrix [rows,columns] in row-major pieces, each valid until the next: the piece's rows are a band of
 * the matrix's columns, read as short contiguous runs.
 */
export function* transposedBlocks(
  matrix: Float32Array,
  rows: number,
  columns: number,
  blockNumbers = BLOCK,
): Generator<Float32Array> {
  const band = Math.max(1, Math.min(columns, Math.floor(blockNumbers / rows)));
  const block = new Float32Array(band * rows);
  for (let start = 0; start < columns; start += band) {
    const width = Math.min(band, columns - start);
    for (let row = 0; row < rows; row++) {
      const from = row * columns + start;
      for (let c = 0; c < width; c++) block[c * rows + row] = matrix[from + c]!;
    }
    yield block.subarray(0, width * rows);
  }
}

/** The whole transpose, for formats whose writer wants one array. */
export function transpose(matrix: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(matrix.length);
  let at = 0;
  for (const block of transposedBlocks(matrix, rows, columns)) {
    out.set(block, at);
    at += block.length;
  }
  return out;
}

export function checkFinite(name: string, array: Float32Array): void {
  const at = array.findIndex((value) => !Number.isFinite(value));
  if (at >= 0)
    throw new Error(
      `${name}[${at}] is ${array[at]}; an SAE that is not finite is not saved. Training diverged: use the last checkpoint.`,
    );
}

export type NamedArray = {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
};

/** Header of a safetensors file of float32 tensors that follow one another in this order. */
export function safetensorsHeader(tensors: readonly Pick<NamedArray, 'name' | 'shape'>[]): {
  header: Uint8Array;
  byteLength: number;
} {
  const entries: Record<string, unknown> = { __metadata__: { format: 'pt', writer: 'saekit' } };
  let at = 0;
  for (const { name, shape } of tensors) {
    const end = at + shape.reduce((product, n) => product * n, 4);
    entries[name] = { dtype: 'F32', shape, data_offsets: [at, end] };
    at = end;
  }
  const json = new TextEncoder().encode(JSON.stringify(entries));
  // Padded with spaces, so that the data begins at a multiple of 8.
  const header = new Uint8Array(8 + Math.ceil(json.length / 8) * 8).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(header.length - 8), true);
  header.set(json, 8);
  return { header, byteLength: header.length + at };
}
