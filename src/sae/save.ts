/**
 * An SAE as SAELens 6 writes it: cfg.json and sae_weights.safetensors, loadable with `SAE.load_from_disk`.
 *
 *     file   W_enc [D,F]   b_enc [F]   W_dec [F,D]   b_dec [D]     float32
 *     memory W_enc [F,D]   …                                       transposed block by block while writing
 *
 * Beyond the SAE itself this takes one block of at most 8 MB.
 */
import type { FolderWriter } from '../store/types.ts';
import { describeSae } from './check.ts';
import { toSaelensConfig } from './saelens-config.ts';
import type { Sae } from './types.ts';

export const CFG_FILE = 'cfg.json';
export const WEIGHTS_FILE = 'sae_weights.safetensors';

/** Numbers in one transposed block: 8 MB. */
const BLOCK = 2 ** 21;

const bytesOf = (array: Float32Array): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

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

/** Header of a safetensors file of float32 tensors that follow one another in this order. */
function header(tensors: readonly { name: string; shape: readonly number[] }[]): Uint8Array {
  const entries: Record<string, unknown> = { __metadata__: { format: 'pt', writer: 'saekit' } };
  let at = 0;
  for (const { name, shape } of tensors) {
    const end = at + shape.reduce((product, n) => product * n, 4);
    entries[name] = { dtype: 'F32', shape, data_offsets: [at, end] };
    at = end;
  }
  const json = new TextEncoder().encode(JSON.stringify(entries));
  // Padded with spaces, so that the data begins at a multiple of 8.
  const bytes = new Uint8Array(8 + Math.ceil(json.length / 8) * 8).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(bytes.length - 8), true);
  bytes.set(json, 8);
  return bytes;
}

function checkFinite(name: string, array: Float32Array): void {
  const at = array.findIndex((value) => !Number.isFinite(value));
  if (at >= 0)
    throw new Error(
      `${name}[${at}] is ${array[at]}; an SAE that is not finite is not saved. Training diverged: use the last checkpoint.`,
    );
}

/**
 * Writes an SAE into a folder in SAELens's format; each of the two files is there whole or not at all.
 *
 * @param folder in Node `folderWriter(path)` of the store, or a run folder's `writer`
 * @throws when arrays do not fit the config or hold NaN, and StorageFull on a full disk
 */
export async function saveSae(
  folder: FolderWriter,
  sae: Sae,
  { signal }: { readonly signal?: AbortSignal } = {},
): Promise<void> {
  const { W_enc, b_enc, W_dec, b_dec, config } = sae;
  if (config.architecture !== 'topk')
    throw new Error(`Saving ${describeSae(config)} in SAELens's format is not built yet.`);
  const { D, F, K } = config;
  const sizes = { W_enc: F * D, b_enc: F, W_dec: F * D, b_dec: D };
  for (const name of ['W_enc', 'b_enc', 'W_dec', 'b_dec'] as const) {
    if (sae[name].length !== sizes[name])
      throw new RangeError(
        `${name} has ${sae[name].length} numbers, expected ${sizes[name]} for D ${D}, F ${F}`,
      );
    checkFinite(name, sae[name]);
  }
  if (!(Number.isInteger(K) && K >= 1 && K <= F)) throw new RangeError(`K is ${K}, expected 1 to F = ${F}`);

  const head = header([
    { name: 'b_dec', shape: [D] },
    { name: 'b_enc', shape: [F] },
    { name: 'W_dec', shape: [F, D] },
    { name: 'W_enc', shape: [D, F] },
  ]);
  function* chunks(): Generator<Uint8Array> {
    yield head;
    yield bytesOf(b_dec);
    yield bytesOf(b_enc);
    yield bytesOf(W_dec);
    for (const block of transposedBlocks(W_enc, F, D)) {
      signal?.throwIfAborted();
      yield bytesOf(block);
    }
  }
  signal?.throwIfAborted();
  await folder.write(WEIGHTS_FILE, chunks(), head.length + 4 * (D + F + 2 * F * D));
  const cfg = new TextEncoder().encode(`${JSON.stringify(toSaelensConfig(config), null, 2)}\n`);
  await folder.write(CFG_FILE, [cfg], cfg.length);
}
