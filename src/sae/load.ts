/** Reads an SAE in SAELens 6's format into the canonical latent-major layout. */
import {
  type Dtype,
  readSafetensors,
  type Safetensors,
  type TensorArray,
  toFloat32,
} from '../formats/index.ts';
import type { HubAccess } from '../hub/types.ts';
import { getPlatform } from '../platform/index.ts';
import type { ByteFolder } from '../platform/types.ts';
import { fromSaelensConfig, type SaelensConfig } from './saelens-config.ts';
import { CFG_FILE, WEIGHTS_FILE } from './save.ts';
import type { Sae, SaeConfig } from './types.ts';

/** Numbers of W_enc read and transposed at a time. */
const BLOCK = 2 ** 21;

const NAMES = ['W_dec', 'W_enc', 'b_dec', 'b_enc'];
const ELEMENTS: Partial<Record<Dtype, new (buffer: ArrayBuffer) => TensorArray>> = {
  F32: Float32Array,
  F64: Float64Array,
  F16: Uint16Array,
  BF16: Uint16Array,
};

async function readConfig(folder: ByteFolder): Promise<SaelensConfig> {
  const where = `${folder.name}/${CFG_FILE}`;
  const source = await folder.open(CFG_FILE);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(await source.slice(0, source.byteLength)));
  } catch (error) {
    throw new Error(`${where}: not JSON (${(error as Error).message})`);
  } finally {
    await source.close?.();
  }
  return fromSaelensConfig(value, where);
}

function checkTensors({ tensors }: Safetensors, { D, F, trustedLayout }: SaelensConfig, where: string): void {
  const found = [...tensors.keys()].sort();
  const missing = NAMES.filter((name) => !tensors.has(name));
  if (missing.length > 0)
    throw new Error(
      `${where}: no ${missing.join(' and no ')}. A topk SAE has ${NAMES.join(', ')}; the file has ${found.join(', ') || 'nothing'}.`,
    );
  const extra = found.filter((name) => !NAMES.includes(name));
  if (extra.length > 0)
    throw new Error(
      `${where}: ${extra.join(', ')} would be ignored, and then the SAE would be another one. A topk SAE has ${NAMES.join(', ')} only.`,
    );
  const expected: Record<string, number[]> = { W_enc: [D, F], b_enc: [F], W_dec: [F, D], b_dec: [D] };
  for (const name of NAMES) {
    const { shape } = tensors.get(name)!;
    const want = expected[name]!;
    if (shape.join() === want.join()) continue;
    const flipped = shape.length === 2 && shape.join() === [...want].reverse().join();
    throw new Error(
      `${where}: ${name} is [${shape.join(', ')}], expected [${want.join(', ')}] from d_in ${D} and d_sae ${F} of ${CFG_FILE}.${flipped ? ' It is transposed: SAELens stores W_enc as [d_in, d_sae] and W_dec as [d_sae, d_in].' : ''}`,
    );
  }
  if (D === F && !trustedLayout) {
    throw new Error(
      `${where}: d_in and d_sae are both ${D}, so the shapes do not tell whether W_enc is [d_in, d_sae], and ${CFG_FILE} names no SAELens version >= 6 in its metadata. If it is SAELens's layout, add "sae_lens_version": "6.0.0" to its metadata.`,
    );
  }
}

/** W_enc [D,F] of the file -> [F,D], a band of rows at a time: no second full copy. */
async function readTransposed(
  file: Safetensors,
  name: string,
  [D, F]: readonly [number, number],
  signal: AbortSignal | undefined,
): Promise<Float32Array> {
  const { dtype, start } = file.tensors.get(name)!;
  const Elements = ELEMENTS[dtype];
  if (!Elements) throw new Error(`${name} is ${dtype}, expected F32, F16, BF16 or F64`);
  const rowBytes = (file.tensors.get(name)!.end - start) / D;
  const band = Math.max(1, Math.floor(BLOCK / F));
  const out = new Float32Array(F * D);
  for (let d = 0; d < D; d += band) {
    signal?.throwIfAborted();
    const rows = Math.min(band, D - d);
    // A copy in any case: views of memory sources need not be aligned.
    const bytes = (await file.source.slice(start + d * rowBytes, start + (d + rows) * rowBytes)).slice();
    const block = toFloat32(new Elements(bytes.buffer), dtype, name);
    for (let f = 0; f < F; f++) for (let r = 0; r < rows; r++) out[f * D + d + r] = block[r * F + f]!;
  }
  return out;
}

/** Folds |W_dec| into the encoder and makes decoder rows unit length: same TopK, same output. Zero rows stay. */
function foldDecoderNorm(
  W_enc: Float32Array,
  b_enc: Float32Array,
  W_dec: Float32Array,
  { D, F }: SaelensConfig,
): void {
  for (let f = 0; f < F; f++) {
    let square = 0;
    for (let i = f * D; i < (f + 1) * D; i++) square += W_dec[i]! ** 2;
    const norm = Math.sqrt(square);
    b_enc[f] = b_enc[f]! * norm;
    for (let i = f * D; i < (f + 1) * D; i++) {
      W_enc[i] = W_enc[i]! * norm;
      if (norm > 0) W_dec[i] = W_dec[i]! / norm;
    }
  }
}

/** An encoder fed with x itself becomes one fed with x - b_dec: b_enc += W_enc b_dec. */
function foldInputBias(
  W_enc: Float32Array,
  b_enc: Float32Array,
  b_dec: Float32Array,
  { D, F }: SaelensConfig,
): void {
  for (let f = 0; f < F; f++) {
    let sum = b_enc[f]!;
    for (let d = 0; d < D; d++) sum += W_enc[f * D + d]! * b_dec[d]!;
    b_enc[f] = sum;
  }
}

/** cfg.json of a folder, with the header of its weights checked against it; the weights themselves are not read. Throws as `loadSae`. */
export async function readSaeConfig(folder: string): Promise<SaeConfig> {
  const opened = await getPlatform().openFolder(folder, {}, 'sae');
  const config = await readConfig(opened);
  const source = await opened.open(WEIGHTS_FILE);
  try {
    const where = `${opened.name}/${WEIGHTS_FILE}`;
    checkTensors(await readSafetensors(source, where), config, where);
  } finally {
    await source.close?.();
  }
  const { D, F, K, metadata } = config;
  return { architecture: 'topk', D, F, K, metadata };
}

/**
 * Loads an SAE from a folder with cfg.json and sae_weights.safetensors, as SAELens 6 and `saveSae` write them; float16,
 * bfloat16 and float64 weights become float32.
 *
 * @param folder a path or `org/name[@revision]` of the hub (Node), a URL prefix (browser), or an opened folder
 * @param access a signal that stops loading, and whom to tell of a download
 * @throws on another architecture, missing or surplus tensors, wrong or transposed shapes, a square SAE whose layout cannot be
 *   known, NaN; the message says what was found and what was expected
 */
export async function loadSae(folder: string | ByteFolder, access: HubAccess = {}): Promise<Sae> {
  const { signal } = access;
  signal?.throwIfAborted();
  const opened = typeof folder === 'string' ? await getPlatform().openFolder(folder, access, 'sae') : folder;
  const config = await readConfig(opened);
  const { D, F, K, metadata } = config;
  const where = `${opened.name}/${WEIGHTS_FILE}`;
  const source = await opened.open(WEIGHTS_FILE);
  try {
    const file = await readSafetensors(source, where);
    checkTensors(file, config, where);
    const W_enc = await readTransposed(file, 'W_enc', [D, F], signal);
    const [W_dec, b_enc, b_dec] = [
      await file.readFloat32('W_dec'),
      await file.readFloat32('b_enc'),
      await file.readFloat32('b_dec'),
    ];
    for (const [name, array] of Object.entries({ W_enc, b_enc, W_dec, b_dec })) {
      signal?.throwIfAborted();
      const at = array.findIndex((value) => !Number.isFinite(value));
      if (at >= 0) throw new Error(`${where}: ${name} holds ${array[at]} (place ${at}): a damaged SAE`);
    }
    if (!config.subtractDecoderBias) foldInputBias(W_enc, b_enc, b_dec, config);
    if (config.rescaleByDecoderNorm) foldDecoderNorm(W_enc, b_enc, W_dec, config);
    return { config: { architecture: 'topk', D, F, K, metadata }, W_enc, b_enc, W_dec, b_dec };
  } finally {
    await source.close?.();
  }
}
